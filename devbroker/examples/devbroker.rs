//! The development broker in the foreground, to try it with any Kafka tool:
//!
//! ```text
//! cargo run -p ottla-devbroker --example devbroker -- 127.0.0.1:9092 [RELEASE] [NODES] [USER:PASSWORD]
//! kcat -b 127.0.0.1:9092 -L
//! ```

use ottla_devbroker::DevBroker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut builder = DevBroker::builder().listen(args.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned()));
    if let Some(release) = args.next() {
        builder = builder.release(release.parse()?);
    }
    if let Some(nodes) = args.next() {
        builder = builder.nodes(nodes.parse()?);
    }
    let login = args.next();
    if let Some((user, password)) = login.as_deref().and_then(|login| login.split_once(':')) {
        builder = builder.sasl_plain(&[(user, password)]);
    }
    let broker = builder.start().await?;
    println!("listening on {}", broker.bootstrap().join(","));
    std::future::pending().await
}
