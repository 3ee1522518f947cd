//! A broker that restarts: while it does not know its cluster and its topics yet, no task takes that for an empty cluster.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use ottla_brokers::Error;
use support::{Task, kafka, ottla, ottla_ok, unique};

const RESTARTS: usize = 20;

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_full_task_and_a_copy_that_start_while_the_broker_restarts_carry_everything_or_fail() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("restart"));
    kafka.admin()?.create_topic(&topic, 2, 1)?;
    let url = format!("kafka://{}/{topic}", kafka.address(0));
    ottla_ok(&["copy", "-", &url], "{}\n".repeat(10).as_bytes());
    let (mut whole, mut failed) = (0, 0);
    for restart in 0..RESTARTS {
        // In turns killed, so that the controller's session has to time out, and stopped.
        if restart % 2 == 0 {
            kafka.kill(0);
        } else {
            kafka.stop(0);
        }
        let ready = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let starter = scope.spawn(|| {
                let started = kafka.start_again(0);
                ready.store(true, Ordering::SeqCst);
                started
            });
            loop {
                let last = ready.load(Ordering::SeqCst);
                let task = Task::new("restart");
                task.topic_to_file(kafka, &topic, "full", "");
                let ran = task.run();
                let copied = ottla(&["copy", &url, "-"], &[]);
                let lines = [(ran.status.code(), task.written(), &ran), (copied.status.code(), copied.text(), &copied)];
                for (code, written, finished) in lines {
                    match code {
                        Some(0) => {
                            assert_eq!(written.lines().count(), 10, "restart {restart}: {}", finished.stderr);
                            whole += 1;
                        }
                        Some(3) if !last => failed += 1,
                        other => panic!("restart {restart}: exit {other:?}: {}", finished.stderr),
                    }
                }
                if last {
                    return starter.join().expect("no panic");
                }
            }
        })?;
    }
    println!("{RESTARTS} restarts: {whole} runs carried everything, {failed} ended with 3");
    Ok(())
}
