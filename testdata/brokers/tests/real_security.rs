//! The secured cluster of the release named by `OTTLA_KAFKA` (default 2.3.1) against kcat, which logs in with OpenSSL,
//! Cyrus SASL and MIT's Kerberos: what it can do, the set-up allows.

use std::ffi::OsString;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ottla_brokers::{
    Certificates, ClientKey, Enctype, Error, Identity, Kafka, KafkaOptions, Kdc, KinitWith, Listener, Release,
    ServerCertificate, run, skipped,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// Where MIT's Kerberos finds its tickets.
type Environment = Vec<(&'static str, OsString)>;

struct Rig {
    kdc: Kdc,
    certificates: Arc<Certificates>,
    kafka: Kafka,
}

/// One KDC and one broker for all tests of this file; guards end them with the process.
fn rig() -> &'static Rig {
    // The reason is kept, too: every test would wait for it anew.
    static RIG: OnceLock<Result<Rig, String>> = OnceLock::new();
    let rig = RIG.get_or_init(|| set_up().map_err(|error| error.to_string()));
    rig.as_ref().unwrap_or_else(|reason| panic!("no KDC and no secured broker: {reason}"))
}

fn set_up() -> Result<Rig, Error> {
    let kdc = Kdc::start()?;
    kdc.add_principal("alice", "alice-secret")?;
    let certificates = Certificates::shared()?;
    let options = KafkaOptions::default().secured(&kdc, &certificates)?;
    let kafka = Kafka::start_with(Release::from_env()?, options)?;
    Ok(Rig { kdc, certificates, kafka })
}

impl Rig {
    /// Lists the cluster over a listener, with these properties of librdkafka; it works for those only who get in.
    fn list(&self, listener: Listener, properties: &[String]) -> Result<(), Error> {
        self.list_with(listener, properties, &self.kdc.environment(None))
    }

    /// The same with tickets where this environment says.
    fn list_with(&self, listener: Listener, properties: &[String], tickets: &Environment) -> Result<(), Error> {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.address(listener), "-L", "-m", "5"]).envs(tickets.iter().cloned());
        command.args(properties.iter().flat_map(|property| ["-X", property]));
        run(&mut command, &[], PATIENCE)?.success().map(drop)
    }

    /// What OpenSSL says of the certificate that a listener shows.
    fn verdict(&self, listener: Listener) -> Result<String, Error> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address(listener), "-verify_hostname", "localhost"]);
        let text = run(command.arg("-CAfile").arg(self.certificates.ca()), &[], PATIENCE)?.text();
        Ok(text.lines().find(|line| line.contains("Verify return code")).unwrap_or_default().trim().to_owned())
    }

    /// Lists the cluster over both SASL listeners.
    fn list_by_sasl(&self, properties: &[String], tickets: &Environment) -> Result<(), Error> {
        let plaintext = [&["security.protocol=sasl_plaintext".to_owned()], properties].concat();
        self.list_with(Listener::SaslPlaintext, &plaintext, tickets)?;
        let tls = [&["security.protocol=sasl_ssl".to_owned(), self.ca()], properties].concat();
        self.list_with(Listener::SaslSsl, &tls, tickets)
    }

    fn address(&self, listener: Listener) -> String {
        self.kafka.address_of(0, listener).expect("a secured broker has the listener")
    }

    fn ca(&self) -> String {
        format!("ssl.ca.location={}", self.certificates.ca().display())
    }

    fn tls(&self) -> Vec<String> {
        vec!["security.protocol=ssl".to_owned(), self.ca()]
    }

    fn tls_as(&self, client: &Identity) -> Vec<String> {
        let mut properties = self.tls();
        properties.push(format!("ssl.certificate.location={}", client.certificate.display()));
        properties.push(format!("ssl.key.location={}", client.key.display()));
        properties.extend(client.key_password.map(|password| format!("ssl.key.password={password}")));
        properties
    }
}

fn no_tickets() -> Environment {
    let mut tickets = rig().kdc.environment(None);
    tickets.push(("KRB5CCNAME", "FILE:no-such-cache".into()));
    tickets
}

/// librdkafka would run kinit itself.
fn by_ticket() -> Vec<String> {
    ["sasl.mechanism=GSSAPI", "sasl.kerberos.service.name=kafka", "sasl.kerberos.kinit.cmd=true"]
        .map(str::to_owned)
        .into()
}

fn by_password(mechanism: &str, password: &str) -> Vec<String> {
    [format!("sasl.mechanism={mechanism}"), "sasl.username=alice".to_owned(), format!("sasl.password={password}")]
        .into()
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn plain_lets_the_right_password_in_and_no_other() -> Result<(), Error> {
    rig().list_by_sasl(&by_password("PLAIN", "alice-secret"), &no_tickets())?;
    assert!(rig().list_by_sasl(&by_password("PLAIN", "wrong"), &no_tickets()).is_err());
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn scram_lets_the_right_password_in_and_no_other() -> Result<(), Error> {
    // Debian's librdkafka sends a wrong nonce, which brokers from 3.7 on rightly refuse (fixed in librdkafka 2.5.3).
    let release = Release::from_env()?;
    if release.at_least(3, 7) {
        let why = "Debian's kcat sends a wrong nonce, which it rightly refuses";
        skipped("scram_lets_the_right_password_in_and_no_other", &release, why);
        return Ok(());
    }
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        rig().list_by_sasl(&by_password(mechanism, "alice-secret"), &no_tickets())?;
        assert!(rig().list_by_sasl(&by_password(mechanism, "wrong"), &no_tickets()).is_err(), "{mechanism}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn gssapi_lets_a_principal_with_a_ticket_in_and_nobody_else() -> Result<(), Error> {
    let rig = rig();
    let cache = rig.kdc.kinit("alice", KinitWith::Password("alice-secret"), &[])?;
    rig.list_by_sasl(&by_ticket(), &rig.kdc.environment(Some(&cache)))?;
    assert!(rig.list_by_sasl(&by_ticket(), &no_tickets()).is_err());
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn gssapi_takes_session_keys_of_each_enctype_alone() -> Result<(), Error> {
    let rig = rig();
    for enctype in Enctype::AES {
        let file = |kind: &str| rig.kdc.directory().join(format!("{}.{kind}", enctype.name()));
        let conf = rig.kdc.client_conf().libdefault("permitted_enctypes", enctype.name()).write(&file("conf"))?;
        let cache = OsString::from(format!("FILE:{}", file("cache").display()));
        let tickets = vec![("KRB5_CONFIG", conf.into_os_string()), ("KRB5CCNAME", cache)];
        let mut kinit = Command::new("kinit");
        run(kinit.arg("alice").envs(tickets.iter().cloned()), b"alice-secret\n", PATIENCE)?.success()?;
        rig.list_by_sasl(&by_ticket(), &tickets)?;
        let held = rig.kdc.klist(&file("cache"))?;
        let keys = format!("Etype (skey, tkt): {}, ", enctype.name());
        assert_eq!(held.matches(&keys).count(), 2, "ticket-granting and service ticket: {held}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn tls_lets_clients_in_with_every_form_of_key_and_without_one() -> Result<(), Error> {
    let rig = rig();
    rig.list(Listener::Ssl, &rig.tls())?;
    for form in ClientKey::ALL {
        rig.list(Listener::Ssl, &rig.tls_as(&rig.certificates.client(form)))?;
    }
    // The broker looks at what it is shown.
    let stranger = rig.certificates.server(ServerCertificate::OtherCa);
    assert!(rig.list(Listener::Ssl, &rig.tls_as(&stranger)).is_err());
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn each_listener_shows_a_certificate_that_is_good_or_bad_for_its_own_reason() -> Result<(), Error> {
    for (listener, verdict) in [
        (Listener::Ssl, "Verify return code: 0 (ok)"),
        (Listener::SaslSsl, "Verify return code: 0 (ok)"),
        (Listener::SslExpired, "Verify return code: 10 (certificate has expired)"),
        (Listener::SslOtherName, "Verify return code: 62 (hostname mismatch)"),
        (Listener::SslOtherCa, "Verify return code: 21 (unable to verify the first certificate)"),
    ] {
        assert_eq!(rig().verdict(listener)?, verdict, "{listener:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka, MIT's KDC, openssl and kcat: run testdata/test"]
fn oauthbearer_takes_unsecured_tokens_on_a_listener_of_its_own() -> Result<(), Error> {
    let token = |claims: &str| {
        let config = format!("sasl.oauthbearer.config={claims}");
        let unsecured = "enable.sasl.oauthbearer.unsecure.jwt=true";
        ["security.protocol=sasl_plaintext", "sasl.mechanism=OAUTHBEARER", unsecured, &config].map(ToOwned::to_owned)
    };
    let listener = rig().kafka.address_of(0, Listener::Oauth);
    assert_eq!(listener.is_some(), Release::from_env()?.at_least(2, 0));
    if listener.is_some() {
        rig().list(Listener::Oauth, &token("principal=alice"))?;
        // The broker wants a claim of this name in every token.
        assert!(rig().list(Listener::Oauth, &token("principalClaimName=other principal=alice")).is_err());
    }
    Ok(())
}
