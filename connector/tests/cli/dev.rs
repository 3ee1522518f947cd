use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use ottla_client::{Client, NewTopic};

use super::{ottla, project, run, wait};

/// `ottla dev` on a free port, killed when dropped.
struct Dev {
    child: Child,
    bootstrap: String,
}

impl Dev {
    fn start(args: &[&str]) -> Self {
        let mut command = ottla(&project());
        command.args(["dev", "--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut bootstrap = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut bootstrap).unwrap();
        Self { child, bootstrap: bootstrap.trim_end().to_owned() }
    }

    /// Sends a signal and returns the exit code and standard error.
    fn stop(&mut self, signal: &str) -> (Option<i32>, String) {
        // The shell's own `kill`: a small Debian has no program of that name.
        let kill = format!("kill -s {signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
        let code = wait(&mut self.child);
        let mut said = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_development_broker_serves_clients_and_ends_cleanly_on_a_signal() {
    for signal in ["INT", "TERM"] {
        let mut dev = Dev::start(&[]);
        let client = Client::builder().bootstrap([&dev.bootstrap]).connect().await.unwrap();
        client.create_topic(&NewTopic { name: "orders".to_owned(), partitions: 3, replicas: 1 }).await.unwrap();
        let topics = client.topics().await.unwrap();
        assert_eq!(
            topics.iter().map(|topic| (&*topic.name, topic.partitions.len())).collect::<Vec<_>>(),
            [("orders", 3)]
        );
        let (code, said) = dev.stop(signal);
        assert_eq!(code, Some(0), "SIG{signal}: {said}");
        for promised in
            ["in memory", "not for production", &format!("kafka://{}/orders", dev.bootstrap), "kcat -b", "Kafka 2.3"]
        {
            assert!(said.contains(promised), "{promised}\n{said}");
        }
    }
}

#[test]
fn the_broker_is_not_offered_to_the_network() {
    for listen in ["0.0.0.0:0", "192.168.1.1:9092", "[::]:0"] {
        let ended = run(&project(), &["dev", "--listen", listen]).ends_with(2);
        assert!(
            ended.stderr.contains("loopback addresses only") && ended.stderr.contains("neither access control"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_taken_port_is_a_fault_of_the_surroundings() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&project(), &["dev", "--listen", &address]).ends_with(3);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--listen 127.0.0.1:0"), "{}", ended.stderr);
}
