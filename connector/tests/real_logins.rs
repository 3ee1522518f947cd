//! The binary itself logs in, to a real Kafka of the release that `OTTLA_KAFKA` names with a real MIT KDC: a file goes in and
//! comes out again. `OTTLA_BINARY` names another binary to be tried, such as the static one.

mod support;

use ottla_brokers::{Certificates, Error, Kafka, KafkaOptions, Kdc, Listener, Release};
use support::{json_lines, ottla, ottla_ok};

const COUNT: usize = 300;

#[test]
#[ignore = "needs a real Kafka and KDC (Java, Maven, krb5-kdc, openssl): run testdata/test"]
fn a_file_goes_in_and_comes_out_with_every_login_on_both_kinds_of_socket() -> Result<(), Error> {
    let (kdc, certificates) = (Kdc::start()?, Certificates::shared()?);
    kdc.add_principal("etl", "etl-secret")?;
    let keytab = kdc.keytab("etl.keytab", &["etl"])?;
    let kafka = Kafka::start_with(Release::from_env()?, KafkaOptions::default().secured(&kdc, &certificates)?)?;
    let (keytab, conf, realm) = (keytab.display(), kdc.krb5_conf(), kdc.realm());
    let conf = conf.display();
    let user = "username = \"alice\", password = \"${env:ALICE:-alice-secret}\"";
    let logins = [
        ("plain", format!("mechanism = \"plain\", {user}")),
        ("scram", format!("mechanism = \"scram-sha-512\", {user}")),
        (
            "kerberos",
            format!("mechanism = \"kerberos\", principal = \"etl@{realm}\", keytab = '{keytab}', krb5_conf = '{conf}'"),
        ),
    ];
    let tls = format!("tls = {{ ca = '{}' }}\n", certificates.ca().display());
    let directory = tempfile::tempdir().expect("a directory");
    for (listener, tls) in [(Listener::SaslPlaintext, ""), (Listener::SaslSsl, tls.as_str())] {
        let address = kafka.address_of(0, listener).expect("the listener");
        for (name, auth) in &logins {
            let place = |file: &str| directory.path().join(format!("{name}-{listener:?}-{file}"));
            let (config, input, output) = (place("task.toml"), place("in.jsonl"), place("out.jsonl"));
            let topic = format!("{name}-{listener:?}").to_lowercase();
            std::fs::write(&input, json_lines(COUNT)).expect("written");
            let text = format!(
                "state_dir = '{}'\n\n\
                 [connections.in]\nkind = \"jsonl\"\nrole = \"source\"\npath = '{}'\n\n\
                 [connections.out]\nkind = \"jsonl\"\nrole = \"target\"\npath = '{}'\n\n\
                 [connections.kafka]\nkind = \"kafka\"\nbootstrap = [\"{address}\"]\ntopics = \"{topic}\"\n{tls}auth = {{ {auth} }}\n\n\
                 [tasks.put]\nsource = \"in\"\ntarget = \"kafka\"\nmode = \"full\"\n\n\
                 [tasks.get]\nsource = \"kafka\"\ntarget = \"out\"\nmode = \"full\"\n",
                place("state").display(),
                input.display(),
                output.display()
            );
            std::fs::write(&config, text).expect("written");
            let config = config.display().to_string();
            ottla_ok(&["test", &config, "kafka"], &[]);
            ottla_ok(&["run", &config, "put"], &[]);
            ottla_ok(&["run", &config, "get"], &[]);
            let came = std::fs::read_to_string(&output).expect("a file");
            assert_eq!(came, json_lines(COUNT), "{name} on {listener:?}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka and KDC (Java, Maven, krb5-kdc, openssl): run testdata/test"]
fn a_refused_login_is_told_with_its_reason_and_without_its_secret() -> Result<(), Error> {
    let (kdc, certificates) = (Kdc::start()?, Certificates::shared()?);
    let kafka = Kafka::start_with(Release::from_env()?, KafkaOptions::default().secured(&kdc, &certificates)?)?;
    let address = kafka.address_of(0, Listener::SaslPlaintext).expect("the listener");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("wrong.toml");
    let auth = "mechanism = \"scram-sha-256\", username = \"alice\", password = \"not-her-secret\"";
    let text = format!("[connections.kafka]\nkind = \"kafka\"\nbootstrap = [\"{address}\"]\nauth = {{ {auth} }}\n");
    std::fs::write(&config, text).expect("written");
    let done = ottla(&["test", &config.display().to_string()], &[]);
    let said = format!("{}{}", done.text(), done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("password") && !said.contains("not-her-secret"), "{said}");
    Ok(())
}
