//! One node's listener and the connections it accepted.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::connection::{Connection, Place};
use crate::shared::Shared;

/// How long the listener rests after the system refused a connection, out of file descriptors for example.
const REST: Duration = Duration::from_millis(50);

/// A node that is up. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(shared: &Arc<Shared>, node: i32, listener: TcpListener) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(Arc::clone(shared), node, listener, stopped));
        Self { stop, task }
    }

    /// Ends the node; when this returns, its port is free and its connections are closed.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            warn!(%error, "a node did not end in order");
        }
    }
}

async fn run(shared: Arc<Shared>, node: i32, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = Place::take(&shared, node, peer) {
                        connections.spawn(Connection::run(place, node, peer, stream));
                    }
                }
                Err(error) => {
                    warn!(node, %error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}
