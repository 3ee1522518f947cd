//! Clients that are not ours against `ottla dev`: kcat, Kafka's console tools, kafka-python.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ottla_brokers::{Error, Release, Tools, kcat, python};
use support::json_lines;

/// `ottla dev` on a free port; gone when dropped.
struct Dev {
    process: Child,
    address: String,
}

impl Dev {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.args(["dev", "--listen", "127.0.0.1:0"]).args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("ottla runs");
        let mut address = String::new();
        let stdout = process.stdout.take().expect("its output is ours");
        BufReader::new(stdout).read_line(&mut address).expect("it prints where it listens");
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn kcat_lists_produces_and_consumes() -> Result<(), Error> {
    let dev = Dev::start(&["--partitions", "3"]);
    let lines = json_lines(300);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat(&["-b", &dev.address, "-P", "-t", codec, "-p", "1", "-z", codec], lines.as_bytes())?;
        let back = kcat(&["-b", &dev.address, "-C", "-t", codec, "-p", "1", "-e", "-q"], &[])?;
        assert_eq!(back.text(), lines, "{codec}");
    }
    let listing = kcat(&["-b", &dev.address, "-L"], &[])?.text();
    assert!(listing.contains("topic \"zstd\" with 3 partitions"), "{listing}");
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn kcat_in_a_group_reads_on_where_the_group_was() -> Result<(), Error> {
    let dev = Dev::start(&[]);
    kcat(&["-b", &dev.address, "-P", "-t", "grouped"], b"one\ntwo\n")?;
    let group = |count: &str| {
        let earliest = ["-X", "auto.offset.reset=earliest", "-X", "enable.auto.offset.store=true"];
        let args = [&["-b", &dev.address, "-q", "-c", count][..], &earliest, &["-G", "readers", "grouped"]].concat();
        kcat(&args, &[]).map(|done| done.text())
    };
    assert_eq!(group("2")?, "one\ntwo\n");
    kcat(&["-b", &dev.address, "-P", "-t", "grouped"], b"three\n")?;
    assert_eq!(group("1")?, "three\n");
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn the_java_console_tools_produce_and_consume() -> Result<(), Error> {
    let (dev, tools) = (Dev::start(&[]), Tools::of(&Release::from_env()?)?);
    let lines = json_lines(200);
    tools.console_producer(&dev.address, "java", &[], lines.as_bytes())?;
    // It reads as a group of its own: join, sync, heartbeat, commit.
    assert_eq!(tools.console_consumer(&dev.address, "java", 200, &[])?.text(), lines);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn kafka_python_produces_and_consumes_in_a_group() -> Result<(), Error> {
    const SCRIPT: &str = r#"
import sys
from kafka import KafkaConsumer, KafkaProducer
address = sys.argv[1]
producer = KafkaProducer(bootstrap_servers=address, acks="all", compression_type="gzip")
for n in range(100):
    producer.send("python", key=b"k%d" % n, value=b"v%d" % n, headers=[("h", b"%d" % n)])
producer.flush(20)
consumer = KafkaConsumer("python", bootstrap_servers=address, group_id="pythons", auto_offset_reset="earliest",
                         enable_auto_commit=False, consumer_timeout_ms=20000)
read = []
for record in consumer:
    read.append((record.key, record.value, record.headers))
    if len(read) == 100:
        break
consumer.commit()
assert read == [(b"k%d" % n, b"v%d" % n, [("h", b"%d" % n)]) for n in range(100)], read[:3]
partition = next(iter(consumer.assignment()))
assert consumer.committed(partition) == 100, consumer.committed(partition)
consumer.close()
print("all read")
"#;
    let dev = Dev::start(&[]);
    assert_eq!(python(SCRIPT, &[&dev.address])?.text(), "all read\n");
    Ok(())
}
