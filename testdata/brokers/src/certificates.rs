//! Throwaway certificates and keys, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::command::find;
use crate::room::Room;
use crate::{Error, run};

/// Making a large prime takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The password of every Java store made here.
pub(crate) const STORE_PASSWORD: &str = "store-secret";
/// The password of [`ClientKey::EncryptedPkcs8`].
const KEY_PASSWORD: &str = "key-secret";

/// A certificate authority with certificates for servers and clients, as PEM files in a temporary directory.
///
/// Certificates are valid for two days. It needs Debian's `openssl`, and for the trust store Java's `keytool`.
#[derive(Debug)]
pub struct Certificates {
    room: Room,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, without its issuer.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The password of the key, if it is encrypted.
    pub key_password: Option<&'static str>,
}

/// What a server shows. All have a 2048-bit RSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerCertificate {
    /// For `localhost` and 127.0.0.1.
    Valid,
    /// The same, but its time was January 2020.
    Expired,
    /// Valid, but for `elsewhere.test` alone.
    OtherName,
    /// For `localhost` and 127.0.0.1, but from an authority that nobody trusts.
    OtherCa,
}

/// The form of a client's key. The certificates say `CN=alice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// RSA, `BEGIN PRIVATE KEY` (RFC 5958).
    Pkcs8,
    /// RSA, `BEGIN RSA PRIVATE KEY` (RFC 8017).
    Pkcs1,
    /// P-256, `BEGIN EC PRIVATE KEY` (RFC 5915).
    Sec1,
    /// RSA, `BEGIN ENCRYPTED PRIVATE KEY` (RFC 5958, PBES2 with AES-256-CBC).
    EncryptedPkcs8,
}

impl ServerCertificate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Valid, Self::Expired, Self::OtherName, Self::OtherCa];

    fn file(self) -> &'static str {
        match self {
            Self::Valid => "server",
            Self::Expired => "expired",
            Self::OtherName => "other-name",
            Self::OtherCa => "other-ca-server",
        }
    }
}

impl ClientKey {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pkcs8, Self::Pkcs1, Self::Sec1, Self::EncryptedPkcs8];
}

impl Certificates {
    /// The certificates of this process, which are made when they are asked for first.
    pub fn shared() -> Result<Arc<Self>, Error> {
        static MADE: Mutex<Option<Arc<Certificates>>> = Mutex::new(None);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificates) = &*made {
            return Ok(Arc::clone(certificates));
        }
        Ok(Arc::clone(made.insert(Arc::new(Self::make()?))))
    }

    /// Makes new ones, of an authority that has nothing to do with any other.
    pub fn make() -> Result<Self, Error> {
        let certificates = Self { room: Room::new("ottla-certificates-", "certificates")? };
        certificates.room.write("openssl.cnf", &configuration(certificates.directory()))?;
        for authority in ["ca", "other-ca"] {
            certificates.authority(authority)?;
        }
        certificates.servers()?;
        certificates.clients()?;
        certificates.stores()?;
        Ok(certificates)
    }

    /// Where they lie; a place for a test's own as well.
    pub fn directory(&self) -> &Path {
        self.room.path()
    }

    /// The certificate of the authority that is to be trusted.
    pub fn ca(&self) -> PathBuf {
        self.pem("ca")
    }

    /// The certificate of the authority of [`ServerCertificate::OtherCa`].
    pub fn other_ca(&self) -> PathBuf {
        self.pem("other-ca")
    }

    /// What a server shows, and its key.
    pub fn server(&self, which: ServerCertificate) -> Identity {
        Identity { certificate: self.pem(which.file()), key: self.key("server"), key_password: None }
    }

    /// A client's certificate, and its key in this form.
    pub fn client(&self, form: ClientKey) -> Identity {
        let (certificate, key, key_password) = match form {
            ClientKey::Pkcs8 => ("client-rsa", "client-rsa", None),
            ClientKey::Pkcs1 => ("client-rsa", "client-pkcs1", None),
            ClientKey::Sec1 => ("client-ec", "client-sec1", None),
            ClientKey::EncryptedPkcs8 => ("client-rsa", "client-encrypted", Some(KEY_PASSWORD)),
        };
        Identity { certificate: self.pem(certificate), key: self.key(key), key_password }
    }

    /// A PKCS12 store with a server's certificate and key, for Java.
    pub fn key_store(&self, which: ServerCertificate) -> PathBuf {
        self.file(&format!("{}.p12", which.file()))
    }

    /// A PKCS12 store with [`Certificates::ca`], for Java.
    pub fn trust_store(&self) -> PathBuf {
        self.file("trust.p12")
    }

    /// The password of the two kinds of store.
    pub fn store_password(&self) -> &'static str {
        STORE_PASSWORD
    }

    fn authority(&self, name: &str) -> Result<(), Error> {
        self.room.write(&format!("{name}.index"), "")?;
        let words = "req -x509 -newkey rsa:2048 -nodes -days 3 -extensions authority -subj";
        self.openssl(
            words,
            &[&format!("/CN=ottla test {name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")],
        )
    }

    fn servers(&self) -> Result<(), Error> {
        self.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server.key", &[])?;
        let past = ["-startdate", "20200101000000Z", "-enddate", "20200131000000Z"];
        for which in ServerCertificate::ALL {
            let (section, authority, dates): (_, _, &[&str]) = match which {
                ServerCertificate::Valid => ("server", "ca", &[]),
                ServerCertificate::Expired => ("server", "ca", &past),
                ServerCertificate::OtherName => ("elsewhere", "ca", &[]),
                ServerCertificate::OtherCa => ("server", "other-ca", &[]),
            };
            let subject = if which == ServerCertificate::OtherName { "/CN=elsewhere.test" } else { "/CN=localhost" };
            self.issue(
                which.file(),
                "server",
                subject,
                &[&["-name", authority, "-extensions", section], dates].concat(),
            )?;
        }
        Ok(())
    }

    fn clients(&self) -> Result<(), Error> {
        self.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out client-rsa.key", &[])?;
        self.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client-ec.key", &[])?;
        for name in ["client-rsa", "client-ec"] {
            self.issue(name, name, "/CN=alice", &["-name", "ca", "-extensions", "client"])?;
        }
        self.openssl("pkey -traditional -in client-rsa.key -out client-pkcs1.key", &[])?;
        self.openssl("pkey -traditional -in client-ec.key -out client-sec1.key", &[])?;
        let password = format!("pass:{KEY_PASSWORD}");
        self.openssl("pkcs8 -topk8 -v2 aes-256-cbc -in client-rsa.key -out client-encrypted.key -passout", &[&password])
    }

    fn stores(&self) -> Result<(), Error> {
        let password = format!("pass:{STORE_PASSWORD}");
        for which in ServerCertificate::ALL {
            let name = which.file();
            let files = ["-in", &format!("{name}.pem"), "-out", &format!("{name}.p12"), "-passout", &password];
            self.openssl("pkcs12 -export -inkey server.key -name server", &files)?;
        }
        let mut keytool = Command::new(find("keytool", "default-jre-headless")?);
        keytool.args(["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-file", "ca.pem"]);
        keytool.args(["-keystore", "trust.p12", "-storepass", STORE_PASSWORD]).current_dir(self.directory());
        run(&mut keytool, &[], PATIENCE)?.success().map(drop)
    }

    /// A certificate for a key, signed as `args` of `openssl ca` say.
    fn issue(&self, name: &str, key: &str, subject: &str, args: &[&str]) -> Result<(), Error> {
        let (request, key) = (format!("{name}.csr"), format!("{key}.key"));
        self.openssl("req -new", &["-key", &key, "-subj", subject, "-out", &request])?;
        let files = ["-in", &request, "-out", &format!("{name}.pem")];
        self.openssl("ca -batch -notext", &[&files[..], args].concat())
    }

    /// Runs `openssl` in the directory; `words` are split at blanks.
    fn openssl(&self, words: &str, args: &[&str]) -> Result<(), Error> {
        let mut command = Command::new(find("openssl", "openssl")?);
        command.args(words.split(' ')).args(args).current_dir(self.directory());
        command.env("OPENSSL_CONF", self.file("openssl.cnf"));
        run(&mut command, &[], PATIENCE)?.success().map(drop)
    }

    fn pem(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.pem"))
    }

    fn key(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.key"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }
}

/// What the `openssl` commands above read.
fn configuration(directory: &Path) -> String {
    let leaf = "basicConstraints = critical,CA:false\nkeyUsage = critical,digitalSignature,keyEncipherment\n";
    let sections = [
        ("req", "distinguished_name = any".to_owned()),
        ("any", "commonName = supplied".to_owned()),
        ("ca", authority(directory, "ca")),
        ("other-ca", authority(directory, "other-ca")),
        ("authority", "basicConstraints = critical,CA:true\nkeyUsage = critical,keyCertSign,cRLSign".to_owned()),
        ("server", format!("{leaf}extendedKeyUsage = serverAuth\nsubjectAltName = DNS:localhost,IP:127.0.0.1")),
        ("elsewhere", format!("{leaf}extendedKeyUsage = serverAuth\nsubjectAltName = DNS:elsewhere.test")),
        ("client", format!("{leaf}extendedKeyUsage = clientAuth")),
    ];
    sections.map(|(name, lines)| format!("[{name}]\n{lines}\n")).concat()
}

/// How `openssl ca` signs as this authority.
fn authority(directory: &Path, name: &str) -> String {
    let (place, directory) = (directory.join(name), directory.display());
    let place = place.display();
    format!(
        "database = {place}.index\ncertificate = {place}.pem\nprivate_key = {place}.key\nnew_certs_dir = {directory}\n\
         default_md = sha256\ndefault_days = 2\npolicy = any\nrand_serial = yes\nunique_subject = no"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Finished;

    /// What `openssl verify` says of a certificate under the trusted authority.
    fn verdict(made: &Certificates, which: ServerCertificate) -> String {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-x509_strict", "-verify_hostname", "localhost", "-CAfile"]).arg(made.ca());
        let done = run(verify.arg(made.server(which).certificate), &[], PATIENCE).expect("openssl runs");
        done.text() + &done.stderr
    }

    #[test]
    #[ignore = "needs openssl and keytool: run testdata/test"]
    fn each_server_certificate_is_good_or_bad_for_its_own_reason_alone() {
        let made = Certificates::shared().expect("certificates are made");
        for (which, reason) in [
            (ServerCertificate::Valid, ": OK"),
            (ServerCertificate::Expired, "certificate has expired"),
            (ServerCertificate::OtherName, "hostname mismatch"),
            (ServerCertificate::OtherCa, "unable to get local issuer certificate"),
        ] {
            let text = verdict(&made, which);
            assert_eq!(text.matches("depth lookup").count(), usize::from(which != ServerCertificate::Valid), "{text}");
            assert!(text.contains(reason), "{which:?}: {text}");
        }
    }

    #[test]
    #[ignore = "needs openssl and keytool: run testdata/test"]
    fn each_client_key_has_the_armour_of_its_form_and_fits_its_certificate() {
        let made = Certificates::shared().expect("certificates are made");
        let public =
            |command: &mut Command| run(command, &[], PATIENCE).and_then(Finished::success).map(|done| done.stdout);
        for (form, armour) in [
            (ClientKey::Pkcs8, "-----BEGIN PRIVATE KEY-----"),
            (ClientKey::Pkcs1, "-----BEGIN RSA PRIVATE KEY-----"),
            (ClientKey::Sec1, "-----BEGIN EC PRIVATE KEY-----"),
            (ClientKey::EncryptedPkcs8, "-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        ] {
            let client = made.client(form);
            let text = std::fs::read_to_string(&client.key).expect("a key");
            assert!(text.starts_with(armour), "{form:?}");
            let password = format!("pass:{}", client.key_password.unwrap_or_default());
            let mut key = Command::new("openssl");
            key.args(["pkey", "-pubout", "-passin", &password, "-in"]).arg(&client.key);
            let mut certificate = Command::new("openssl");
            certificate.args(["x509", "-noout", "-pubkey", "-in"]).arg(&client.certificate);
            assert_eq!(public(&mut key).expect("a key"), public(&mut certificate).expect("a certificate"), "{form:?}");
        }
    }
}
