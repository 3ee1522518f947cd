//! Kerberos in a task and in `ottla test`, with a real KDC and a real broker.

mod support;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, KinitWith, Listener, Release};
use serde_json::Value;
use support::{Task, json_lines, ottla, produce, unique};

const SECRET: &str = "alice-secret";

struct Rig {
    kdc: Kdc,
    kafka: Kafka,
}

/// One KDC and one broker for all tests of this file; guards end them with the process.
fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let kdc = Kdc::start().unwrap();
        kdc.add_principal("alice", SECRET).unwrap();
        let options = KafkaOptions::default().secured(&kdc, &Certificates::shared().unwrap()).unwrap();
        Rig { kafka: Kafka::start_with(Release::from_env().unwrap(), options).unwrap(), kdc }
    })
}

impl Rig {
    /// A connection with this login.
    fn connection(&self, role: &str, topics: &str, auth: &str) -> String {
        let address = self.kafka.address_of(0, Listener::SaslPlaintext).unwrap();
        format!(
            "kind = \"kafka\"\nrole = \"{role}\"\nbootstrap = [\"{address}\"]\ntopics = \"{topics}\"\nauth = {{ mechanism = \"kerberos\", {auth} }}\n"
        )
    }

    fn conf(&self) -> String {
        format!("krb5_conf = '{}'", self.kdc.krb5_conf().display())
    }

    /// What `ottla test` says of the step `SASL` with this login.
    fn sasl_step(&self, auth: &str) -> (String, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.toml");
        fs::write(&file, format!("[connections.shop]\n{}", self.connection("source", "^none$", auth))).unwrap();
        let done = ottla(&["test", file.to_str().unwrap(), "--output", "json", "--timeout", "5"], &[]);
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(!printed.contains(SECRET) && !done.stderr.contains(SECRET));
        let result: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {}", done.stderr));
        let steps = result["result"][0]["steps"].as_array().unwrap().clone();
        let step = steps.into_iter().find(|step| step["step"] == "SASL").expect("the step");
        (step["outcome"].as_str().unwrap().to_owned(), step.to_string())
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC and kcat: run testdata/test"]
fn a_task_reads_and_writes_with_tickets() {
    let rig = rig();
    let (from, to) = (unique("from"), unique("to"));
    let admin = rig.kafka.admin().unwrap();
    for topic in [&from, &to] {
        admin.create_topic(topic, 1, 1).unwrap();
    }
    produce(&rig.kafka, &from, 0, &json_lines(200));
    let keytab = rig.kdc.keytab("task.keytab", &["alice"]).unwrap();
    let cache = rig.kdc.kinit("alice", KinitWith::Password(SECRET), &[]).unwrap();
    let by_keytab = format!("keytab = {}, {}", quoted(&keytab), rig.conf());
    let by_cache = format!("ccache = {}, {}", quoted(&cache), rig.conf());
    let task = Task::new("kerberos");
    task.config(&rig.connection("source", &from, &by_keytab), &rig.connection("target", &to, &by_cache), "full");
    task.run_ok();
    assert_eq!(support::consume(&rig.kafka, &to, 0, 0), json_lines(200));
}

#[test]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
fn ottla_test_says_of_each_failed_login_why_and_what_to_do() {
    let rig = rig();
    let (kdc, conf) = (&rig.kdc, rig.conf());
    let good = format!("password = '{SECRET}', principal = \"alice\", {conf}");
    let (outcome, said) = rig.sasl_step(&good);
    assert_eq!(outcome, "pass", "{said}");

    kdc.add_random_principal("stale").unwrap();
    let stale = kdc.keytab("stale.keytab", &["stale"]).unwrap();
    kdc.change_key("stale").unwrap();
    let strange = kdc.client_conf().libdefault("kdc_timesync", "0");
    let late = Kdc::start_with(ottla_brokers::KdcOptions::default().clock_offset_seconds(900)).unwrap();
    late.add_principal("alice", SECRET).unwrap();
    let mut skewed = strange.clone();
    skewed.realms[0].1 = vec![late.address().to_owned()];
    let skewed = skewed.write(&kdc.directory().join("skewed.conf")).unwrap();
    let mut dead = kdc.client_conf();
    let nowhere = format!("127.0.0.1:{}", ottla_brokers::free_port().unwrap());
    dead.realms[0].1 = vec![nowhere.clone()];
    let dead = dead.write(&kdc.directory().join("dead.conf")).unwrap();

    let password = |principal: &str, password: &str| format!("password = \"{password}\", principal = \"{principal}\"");
    for (auth, parts) in [
        (format!("{}, {conf}", password("alice", "wrong")), ["the password of alice@TEST.LOCAL", "is wrong"]),
        (format!("{}, {conf}", password("nobody", "x")), ["nobody@TEST.LOCAL", "knows no such client"]),
        (format!("{}, {conf}", password("alice@NOWHERE", "x")), ["no KDC of realm NOWHERE", "check [realms]"]),
        (format!("keytab = {}, {conf}", quoted(&stale)), ["key of version 1 of stale", "make the keytab anew"]),
        (format!("{good}, service_name = \"http\""), ["http/localhost@TEST.LOCAL", "check service_name"]),
        (
            format!("{}, krb5_conf = {}", password("alice", SECRET), quoted(&skewed)),
            ["differ by 900 s", "set the clock"],
        ),
        (format!("{}, krb5_conf = {}", password("alice", SECRET), quoted(&dead)), [nowhere.as_str(), "by UDP"]),
        (format!("ccache = \"/no/cc\", {conf}"), ["/no/cc cannot be read", "run kinit"]),
    ] {
        let (outcome, said) = rig.sasl_step(&auth);
        println!("{said}");
        assert_eq!(outcome, "fail", "{auth}: {said}");
        for part in parts.into_iter().chain(["kinit -kt KEYTAB PRINCIPAL"]) {
            assert!(said.contains(part), "{part:?} is missing in {said}");
        }
    }
}
