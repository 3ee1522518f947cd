//! A running KDC.

use std::ffi::OsString;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::find;
use crate::guard::Guarded;
use crate::room::Room;
use crate::{Error, Finished, KdcOptions, Krb5Conf, kdc_files, ports, run};

/// From start to ready; by itself a KDC needs some 20 ms.
const READY: Duration = Duration::from_secs(30);
/// For one of MIT's tools.
const PATIENCE: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(10);
/// Starts that another process took the port away from.
const TRIES: usize = 3;

/// A real MIT KDC on loopback, ready for use.
///
/// It needs Debian's `krb5-kdc`, `krb5-admin-server` and `krb5-user`, but no root, no service and no file in `/etc`.
/// All methods take `&self`, so that the tests of one binary can share one in a `static`. Dropping it, or ending the
/// process in whatever way, kills it and removes its files, as with [`Kafka`](crate::Kafka).
///
/// A principal is named as in MIT's tools: `alice`, `kafka/localhost` in the first realm, or `alice@OTHER`.
#[derive(Debug)]
pub struct Kdc {
    options: KdcOptions,
    address: String,
    conf: Mutex<Krb5Conf>,
    process: Mutex<Option<Guarded>>,
    /// MIT's tools wait for a locked database with whole seconds of sleep, and give up after five.
    database: Mutex<()>,
    /// Names of files that are told apart by a number.
    files: AtomicU32,
    /// Last, so that it goes when the process is gone.
    room: Room,
}

/// What a principal proves itself with to `kinit`.
#[derive(Debug, Clone, Copy)]
pub enum KinitWith<'a> {
    /// Its password.
    Password(&'a str),
    /// A keytab that holds its key.
    Keytab(&'a Path),
}

impl Kdc {
    /// Starts a KDC of the realm `TEST.LOCAL` and waits until it answers.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(KdcOptions::default())
    }

    /// Makes the databases of all realms, starts a KDC for them and waits until it answers.
    #[expect(clippy::needless_pass_by_value, reason = "each try copies them; callers make them for this call")]
    pub fn start_with(options: KdcOptions) -> Result<Self, Error> {
        let mut tries = 1;
        loop {
            let mut kdc = Self::laid_out(&options)?;
            match kdc.launch() {
                Ok(()) => return Ok(kdc),
                Err(Error::NotReady { tail, .. }) if tries < TRIES && tail.contains("in use") => tries += 1,
                Err(error) => {
                    kdc.room.keep();
                    return Err(error);
                }
            }
        }
    }

    /// Its `host:port`, the same for UDP and TCP.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The first realm.
    pub fn realm(&self) -> &str {
        self.options.realms.first().map_or("", String::as_str)
    }

    /// How it was started.
    pub fn options(&self) -> &KdcOptions {
        &self.options
    }

    /// Where its files are while it runs; a place for a test's own as well.
    pub fn directory(&self) -> &Path {
        self.room.path()
    }

    /// The client's `krb5.conf`. It names this KDC's realms, and those that [`Kdc::trust`] made known to it.
    pub fn krb5_conf(&self) -> PathBuf {
        self.directory().join("krb5.conf")
    }

    /// The same to be changed and written elsewhere.
    pub fn client_conf(&self) -> Krb5Conf {
        self.conf().clone()
    }

    /// What it logged: a line for every request, with the enctypes and why it was refused.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("kdc.log")).unwrap_or_default()
    }

    /// Adds a principal with a password.
    pub fn add_principal(&self, principal: &str, password: &str) -> Result<(), Error> {
        self.add_principal_with(principal, &["-pw", password])
    }

    /// Adds a principal with random keys, as for a service.
    pub fn add_random_principal(&self, principal: &str) -> Result<(), Error> {
        self.add_principal_with(principal, &["-randkey"])
    }

    /// Adds a principal with the arguments of `addprinc`, such as `["-pw", "secret", "-requires_preauth"]`.
    pub fn add_principal_with(&self, principal: &str, args: &[&str]) -> Result<(), Error> {
        self.change("addprinc", args, principal)
    }

    /// Whether there is such a principal.
    pub fn has_principal(&self, principal: &str) -> Result<bool, Error> {
        Ok(!self.kadmin(self.realm_of(principal), &["listprincs", principal])?.text().trim().is_empty())
    }

    /// Writes the keys that these principals have now into a new keytab of this file name.
    pub fn keytab(&self, file_name: &str, principals: &[&str]) -> Result<PathBuf, Error> {
        let path = self.directory().join(file_name);
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::file(&path))?;
        }
        for principal in principals {
            self.change("ktadd", &["-norandkey", "-k", &path.to_string_lossy()], principal)?;
        }
        Ok(path)
    }

    /// A new keytab of a service, which is made with random keys if it is not there.
    pub fn service(&self, principal: &str) -> Result<PathBuf, Error> {
        match self.add_random_principal(principal) {
            Err(Error::Failed { output, .. }) if output.contains("already exists") => {}
            outcome => outcome?,
        }
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.keytab(&format!("service-{number}.keytab"), &[principal])
    }

    /// Changes a principal with the arguments of `modprinc`: `["-requires_preauth"]`, `["-allow_tix"]` (locked),
    /// `["-pwexpire", "yesterday"]`, `["-maxlife", "30 seconds"]`.
    pub fn modify(&self, principal: &str, args: &[&str]) -> Result<(), Error> {
        self.change("modprinc", args, principal)
    }

    /// Gives a principal another password.
    pub fn change_password(&self, principal: &str, password: &str) -> Result<(), Error> {
        self.change("cpw", &["-pw", password], principal)
    }

    /// Gives a principal new random keys: every keytab with the old ones is stale.
    pub fn change_key(&self, principal: &str) -> Result<(), Error> {
        self.change("cpw", &["-randkey"], principal)
    }

    /// Renames a principal. Its keys keep the salt of the old name.
    pub fn rename(&self, principal: &str, name: &str) -> Result<(), Error> {
        self.change("renprinc", &["-force", principal], name)
    }

    /// Makes this KDC's realm and another one, of another KDC or of this one, trust each other, and writes each
    /// other's address into both files [`Kdc::krb5_conf`].
    ///
    /// A client of one realm then gets tickets of the other; so that its KDC refers it there by the host name alone,
    /// start that KDC with [`KdcOptions::domain`].
    pub fn trust(&self, realm: &str, other: &Self, other_realm: &str) -> Result<(), Error> {
        for (of, to) in [(realm, other_realm), (other_realm, realm)] {
            let (principal, password) = (format!("krbtgt/{of}"), format!("{of} trusts {to}"));
            // The same password under the same name is the same key, version 1, in both databases.
            for (kdc, home) in [(self, realm), (other, other_realm)] {
                kdc.kadmin(home, &["addprinc", "-pw", &password, &format!("{principal}@{to}")])?;
            }
        }
        self.make_known(other)?;
        other.make_known(self)
    }

    /// Gets a ticket-granting ticket with MIT's `kinit` into a new FILE cache, whose path is returned. `args` are
    /// further ones for it, such as `["-l", "30s", "-r", "1h"]`.
    pub fn kinit(&self, principal: &str, with: KinitWith<'_>, args: &[&str]) -> Result<PathBuf, Error> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let cache = self.directory().join(format!("krb5cc_{number}"));
        let mut command = self.command("kinit", "krb5-user")?;
        command.arg("-c").arg(&cache).args(args);
        let input = match with {
            KinitWith::Keytab(keytab) => {
                command.arg("-k").arg("-t").arg(keytab);
                String::new()
            }
            KinitWith::Password(password) => format!("{password}\n"),
        };
        run(command.arg(principal), input.as_bytes(), PATIENCE)?.success()?;
        Ok(cache)
    }

    /// What `klist -e` says of a cache.
    pub fn klist(&self, cache: &Path) -> Result<String, Error> {
        let mut command = self.command("klist", "krb5-user")?;
        Ok(run(command.args(["-e", "-c"]).arg(cache), &[], PATIENCE)?.success()?.text())
    }

    /// The environment in which MIT's libraries and tools use this KDC: `KRB5_CONFIG`, and `KRB5CCNAME` if there is a
    /// cache.
    pub fn environment(&self, cache: Option<&Path>) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![("KRB5_CONFIG", self.krb5_conf().into_os_string())];
        variables.extend(cache.map(|path| ("KRB5CCNAME", format!("FILE:{}", path.display()).into())));
        variables
    }

    /// Runs one command of `kadmin.local` on a realm's database.
    pub fn kadmin(&self, realm: &str, args: &[&str]) -> Result<Finished, Error> {
        let _alone = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = self.server_command("kadmin.local", "krb5-admin-server")?;
        run(command.arg("-r").arg(realm).args(args), &[], PATIENCE)?.success()
    }

    /// Stops it: from now on nobody answers at [`Kdc::address`].
    pub fn stop(&self) {
        let process = self.process().take();
        if let Some(process) = process {
            process.stop(STOP);
        }
    }

    /// Starts it again at the same address with the same principals, and waits until it answers.
    pub fn start_again(&self) -> Result<(), Error> {
        let running = self.process().is_some();
        if running { Ok(()) } else { self.serve() }
    }

    fn laid_out(options: &KdcOptions) -> Result<Self, Error> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let conf = Krb5Conf::of(options, &address);
        Ok(Self {
            options: options.clone(),
            address,
            conf: Mutex::new(conf),
            process: Mutex::new(None),
            database: Mutex::new(()),
            files: AtomicU32::new(0),
            room: Room::new("ottla-kdc-", "KDC")?,
        })
    }

    fn launch(&self) -> Result<(), Error> {
        let directory = self.directory();
        self.conf().write(&self.krb5_conf())?;
        self.room.write("kdc-krb5.conf", &kdc_files::kdc_krb5_conf(&self.conf(), directory))?;
        self.room.write("kdc.conf", &kdc_files::kdc_conf(&self.options, &self.address, directory))?;
        for realm in &self.options.realms {
            let mut command = self.server_command("kdb5_util", "krb5-kdc")?;
            run(command.args(["create", "-s", "-P", "master", "-r", realm]), &[], PATIENCE)?.success()?;
        }
        self.serve()
    }

    fn serve(&self) -> Result<(), Error> {
        let mut words: Vec<OsString> = vec!["env".into()];
        words.extend(self.server_environment().map(|(name, value)| {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            word
        }));
        words.extend([find("krb5kdc", "krb5-kdc")?.into(), "-n".into(), "-T".into()]);
        words.push(self.options.clock_offset_seconds.to_string().into());
        words.extend(self.options.realms.iter().flat_map(|realm| ["-r".into(), realm.into()]));
        let process = Guarded::spawn(&words, &self.directory().join("output.log"))?;
        *self.process() = Some(process);
        self.await_answer()
    }

    /// Waits until the KDC says of a principal that it does not exist.
    fn await_answer(&self) -> Result<(), Error> {
        let deadline = Instant::now() + READY;
        loop {
            match self.kinit("nobody-of-this-name", KinitWith::Password(""), &[]) {
                Err(Error::Failed { output, .. }) if output.contains("not found in Kerberos database") => return Ok(()),
                Err(Error::Failed { .. } | Error::TooSlow { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => return Err(self.not_ready("gave a ticket to nobody")),
            }
            if let Some(status) = self.process().as_mut().and_then(Guarded::ended) {
                return Err(self.not_ready(&format!("ended with {status}")));
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(&format!("was not ready after {READY:?}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn not_ready(&self, how: &str) -> Error {
        let output = std::fs::read_to_string(self.directory().join("output.log")).unwrap_or_default();
        let log = self.directory().join("kdc.log");
        Error::NotReady { what: "the KDC".to_owned(), how: how.to_owned(), log, tail: output + &self.log() }
    }

    fn make_known(&self, other: &Self) -> Result<(), Error> {
        let theirs = other.client_conf().realms;
        let mut conf = self.conf();
        for realm in theirs {
            if !conf.realms.iter().any(|(name, _)| *name == realm.0) {
                conf.realms.push(realm);
            }
        }
        conf.write(&self.krb5_conf()).map(drop)
    }

    /// One command of `kadmin.local` whose last argument is a principal.
    fn change(&self, verb: &str, args: &[&str], principal: &str) -> Result<(), Error> {
        self.kadmin(self.realm_of(principal), &[&[verb], args, &[principal]].concat()).map(drop)
    }

    fn realm_of<'a>(&'a self, principal: &'a str) -> &'a str {
        principal.rsplit_once('@').map_or(self.realm(), |(_, realm)| realm)
    }

    /// One of MIT's tools as a client of this KDC.
    fn command(&self, program: &str, package: &str) -> Result<Command, Error> {
        let mut command = Command::new(find(program, package)?);
        command.envs(self.environment(None)).env("LC_ALL", "C");
        Ok(command)
    }

    /// One of MIT's tools on this KDC's databases.
    fn server_command(&self, program: &str, package: &str) -> Result<Command, Error> {
        let mut command = Command::new(find(program, package)?);
        command.envs(self.server_environment());
        Ok(command)
    }

    fn server_environment(&self) -> [(&'static str, PathBuf); 2] {
        let file = |name| self.directory().join(name);
        [("KRB5_CONFIG", file("kdc-krb5.conf")), ("KRB5_KDC_PROFILE", file("kdc.conf"))]
    }

    fn conf(&self) -> MutexGuard<'_, Krb5Conf> {
        self.conf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that is free for TCP and for UDP.
fn free_port() -> Result<u16, Error> {
    loop {
        let port = ports::free()?;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}
