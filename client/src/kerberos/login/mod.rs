//! A client's tickets: got when they are wanted, kept in memory, replaced before they end, shared by all its connections.
//!
//! One log-in or request is under way at a time, whoever waits takes what it brought. How often a refused log-in is tried
//! again is `net::login`'s to say, for all mechanisms alike.

mod cache;
mod fresh;
mod options;
mod ticker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::config::Krb5Config;
use super::crypto::Crypto;
use super::error::KerberosError;
use super::error_code::KrbErrorCode;
use super::exchange::{AsExchange, Chance, Clock, Granted, Request, Secret, Step, TgsExchange};
use super::gss::Fresh;
use super::host_names::{HostNames, NameService};
use super::kdc::{Patience, Transport, Via, Whom};
use super::principal::{Principal, PrincipalName};
use super::ticket::HeldTicket;
use super::time::KerberosTime;
use fresh::MIN_PAUSE;
use options::{Source, krb5_config, source};
use ticker::TICKER;

pub use options::{KerberosMistake, KerberosOptions, KerberosSetting};

/// The part of the time for connecting that trying the KDCs may take, so that there is some left to say which of them were
/// tried.
const KDC_SHARE: f64 = 0.7;
/// The part of it, and the time, that finding out a host's name may take: a login can do without.
const NAMES_SHARE: f64 = 0.25;
const NAMES_WITHIN: Duration = Duration::from_secs(5);

/// Where a client gets its tickets.
pub(crate) struct KerberosLogin {
    config: Arc<Krb5Config>,
    source: Source,
    service_name: String,
    service_realm: Option<String>,
    /// In place of every broker's own.
    service_host: Option<String>,
    names: HostNames,
    write_back: bool,
    transport: Transport,
    /// The local clock.
    local: fn() -> SystemTime,
    /// Whoever has it may ask a KDC.
    turn: Semaphore,
    held: Mutex<Held>,
    /// Replaces a ticket in time even if nobody asks for one, so that one that can be renewed is not lost.
    keeper: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Held {
    clock: Clock,
    tgt: Option<HeldTicket>,
    /// When `tgt` was last got or tried to be replaced, by the local clock.
    asked: Option<KerberosTime>,
    /// The last try was refused: no more of them while `tgt` is valid, so that no account is locked.
    refused: bool,
    /// Which part of the spread this client takes.
    jitter: f64,
    services: HashMap<PrincipalName, HeldTicket>,
}

/// A ticket for a broker, and the clock to use it by.
#[derive(Debug)]
pub(crate) struct ServiceTicket {
    pub(crate) ticket: HeldTicket,
    /// It was got before, and another can be had: the service may have another key by now.
    pub(crate) is_kept: bool,
    clock: Clock,
    local: fn() -> SystemTime,
}

impl ServiceTicket {
    /// What one context needs of time and chance.
    pub(crate) fn fresh(&self) -> Result<Fresh, KerberosError> {
        let chance = Chance::fresh()?;
        let now = self.clock.at(TICKER.next(KerberosTime::from((self.local)())));
        Ok(Fresh { now, subkey: chance.subkey, sequence: chance.nonce, confounder: chance.confounder })
    }
}

impl KerberosLogin {
    /// Reads krb5.conf and the keytab; nothing is asked yet. `connect_timeout` bounds how long KDCs are tried.
    pub(crate) fn new(options: &KerberosOptions, connect_timeout: Duration) -> Result<Arc<Self>, KerberosError> {
        Self::with(options, connect_timeout, SystemTime::now, NameService::system())
    }

    /// The same with another local clock.
    #[cfg(test)]
    pub(crate) fn with_clock(
        options: &KerberosOptions,
        connect_timeout: Duration,
        local: fn() -> SystemTime,
    ) -> Result<Arc<Self>, KerberosError> {
        Self::with(options, connect_timeout, local, NameService::system())
    }

    /// The same with another local clock and other names.
    fn with(
        options: &KerberosOptions,
        connect_timeout: Duration,
        local: fn() -> SystemTime,
        service: NameService,
    ) -> Result<Arc<Self>, KerberosError> {
        let config = Arc::new(krb5_config(options)?);
        let source = source(options, &config).map_err(|(_, error)| error)?;
        let whole = Patience::default().whole.min(connect_timeout.mul_f64(KDC_SHARE));
        let patience = Patience { whole, ..Patience::default() };
        let transport = Transport::new(config.clone(), service.resolv_conf.clone(), patience);
        let names = HostNames::new(&config, service, NAMES_WITHIN.min(connect_timeout.mul_f64(NAMES_SHARE)));
        Ok(Arc::new(Self {
            config,
            source,
            service_name: options.service_name.clone(),
            service_realm: options.service_realm.clone(),
            service_host: options.service_host.clone(),
            names,
            write_back: options.write_back,
            transport,
            local,
            turn: Semaphore::new(1),
            held: Mutex::new(Held { jitter: fastrand::f64(), ..Held::default() }),
            keeper: Mutex::default(),
        }))
    }

    /// What cryptography may be used.
    pub(crate) fn crypto(&self) -> Crypto {
        self.config.crypto()
    }

    /// A ticket for the broker on this host. May be dropped at any point.
    pub(crate) async fn ticket_for(self: &Arc<Self>, host: &str) -> Result<ServiceTicket, KerberosError> {
        let name = match &self.service_host {
            Some(name) => name.clone(),
            None => self.names.first(host).await,
        };
        let service = self.service_on(&name);
        if let Some(ticket) = self.good_service_ticket(&service) {
            return Ok(ticket);
        }
        let _turn = self.turn.acquire().await.map_err(|_| shut())?;
        // Whoever had the turn before may have brought it.
        if let Some(ticket) = self.good_service_ticket(&service) {
            return Ok(ticket);
        }
        if let Some(ticket) = self.cached_service_ticket(&service)? {
            return Ok(ticket);
        }
        let granted = match self.ask_for(&service, self.realm_of(&name)).await {
            Err(error) if error.code() == Some(KrbErrorCode::S_PRINCIPAL_UNKNOWN) => {
                self.ask_instead(host, error).await?
            }
            result => result?,
        };
        self.put_into_cache(&granted.ticket);
        self.keep_in_time();
        self.keep_service(&service, granted)
    }

    /// The KDC does not know the broker under the name that stands there: `dns_canonicalize_hostname = fallback` has another.
    /// Its ticket is then kept under the first, so that the KDC is not asked for that again.
    async fn ask_instead(&self, host: &str, error: KerberosError) -> Result<Granted, KerberosError> {
        if self.service_host.is_some() {
            return Err(error);
        }
        let Some(name) = self.names.second(host).await else { return Err(error) };
        tracing::debug!(%error, name, "asking for the host's canonical name instead");
        self.ask_for(&self.service_on(&name), self.realm_of(&name)).await
    }

    fn service_on(&self, name: &str) -> PrincipalName {
        PrincipalName::service(&self.service_name, name.trim_end_matches('.'))
    }

    fn realm_of(&self, name: &str) -> Option<&str> {
        self.service_realm.as_deref().or_else(|| self.config.realm_of_host(name))
    }

    /// A broker refused: its key may have changed since its ticket was made.
    pub(crate) fn forget_service_tickets(&self) {
        self.held().services.clear();
    }

    /// Asks with the ticket that there is; if the KDC does not take that any more, logs in once more.
    async fn ask_for(&self, service: &PrincipalName, realm: Option<&str>) -> Result<Granted, KerberosError> {
        let tgt = self.tgt().await?;
        match self.exchange_tgt(tgt, service, realm).await {
            Err(error) if is_stale(&error) => {
                tracing::debug!(%error, "the KDC does not take the ticket; logging in anew");
                self.held().tgt = None;
                let tgt = self.tgt().await?;
                self.exchange_tgt(tgt, service, realm).await
            }
            result => result,
        }
    }

    async fn exchange_tgt(
        &self,
        tgt: HeldTicket,
        service: &PrincipalName,
        realm: Option<&str>,
    ) -> Result<Granted, KerberosError> {
        let clock = self.held().clock;
        let exchange = TgsExchange::service(self.config.clone(), tgt, service.clone(), realm, clock);
        self.drive_tgs(exchange).await
    }

    /// A ticket that gets others: the one that there is if it is good, else a new one; if that cannot be had, the old one as
    /// long as it is valid.
    async fn tgt(&self) -> Result<HeldTicket, KerberosError> {
        let held = {
            let held = self.held();
            match &held.tgt {
                Some(tgt) if !self.is_due(&held, tgt) => return Ok(tgt.clone()),
                tgt => tgt.clone(),
            }
        };
        self.held().asked = Some(self.local_now());
        match (self.new_tgt(held.as_ref()).await, held) {
            (Ok(granted), _) => {
                let ticket = granted.ticket;
                tracing::debug!(?ticket, "got a ticket");
                warn_of_expiration(&ticket, granted.key_expiration);
                let mut held = self.held();
                held.clock = granted.clock;
                held.refused = false;
                held.tgt = Some(ticket.clone());
                Ok(ticket)
            }
            (Err(error), Some(old)) if fresh::is_valid(&old, self.now()) => {
                self.held().refused = !error.is_retriable();
                tracing::warn!(%error, until = %old.end_time, "the ticket could not be replaced; it still serves");
                Ok(old)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether a new one is to be tried for: it must be, or it should be and that was not done just now.
    fn is_due(&self, held: &Held, tgt: &HeldTicket) -> bool {
        let local = self.local_now();
        let now = held.clock.at(local);
        if held.refused && fresh::is_valid(tgt, now) {
            return false;
        }
        let pause = MIN_PAUSE.as_secs();
        let rested = held.asked.is_none_or(|asked| asked.seconds.abs_diff(local.seconds) >= pause);
        !fresh::is_good(tgt, now) || (rested && now >= fresh::due(tgt, held.jitter))
    }

    async fn new_tgt(&self, old: Option<&HeldTicket>) -> Result<Granted, KerberosError> {
        match &self.source {
            Source::Password(principal, password) => {
                self.log_in(principal.clone(), Secret::Password(password.clone())).await
            }
            Source::Keytab(principal, keytab) => self.log_in(principal.clone(), Secret::Keytab(keytab.read()?)).await,
            Source::Cache(path, owner) => self.read_or_renew(path, owner.as_ref(), old).await,
        }
    }

    /// A KDC that refuses may not have heard of a new password yet; the primary has (MIT `k5_get_init_creds_password`). It is
    /// asked once, and only if it is not the one that refused, so that no account is locked by hammering.
    async fn log_in(&self, client: Principal, secret: Secret) -> Result<Granted, KerberosError> {
        let refused = match self.log_in_at(Whom::Any, client.clone(), secret.clone()).await {
            Err(error) if error.may_be_out_of_date() && self.transport.has_another_primary(&client.realm) => error,
            result => return result,
        };
        tracing::debug!(error = %refused, "asking the realm's primary KDC");
        match self.log_in_at(Whom::Primary, client, secret).await {
            Err(KerberosError::Unreachable { .. }) => Err(refused),
            result => result,
        }
    }

    async fn log_in_at(&self, whom: Whom, client: Principal, secret: Secret) -> Result<Granted, KerberosError> {
        // Making a key of a password takes up to a second if the KDC asks for as many iterations as are taken.
        let is_costly = matches!(secret, Secret::Password(_));
        let mut exchange = AsExchange::new(self.config.clone(), client, secret, self.held().clock)?;
        let mut step = exchange.start(self.unique_now(), &Chance::fresh()?);
        loop {
            match step {
                Step::Done(granted) => return Ok(*granted),
                Step::Send(request) => {
                    let reply = self.send(whom, &request).await?;
                    let (now, chance) = (self.unique_now(), Chance::fresh()?);
                    let work = move || {
                        let step = exchange.handle(now, &chance, &reply);
                        (exchange, step)
                    };
                    let done = if is_costly { tokio::task::spawn_blocking(work).await } else { Ok(work()) };
                    let (next, result) = done.map_err(|_| shut())?;
                    exchange = next;
                    step = result?;
                }
            }
        }
    }

    async fn drive_tgs(&self, mut exchange: TgsExchange) -> Result<Granted, KerberosError> {
        let mut step = exchange.start(self.unique_now(), &Chance::fresh()?)?;
        loop {
            match step {
                Step::Done(granted) => return Ok(*granted),
                Step::Send(request) => {
                    let reply = self.send(Whom::Any, &request).await?;
                    step = exchange.handle(self.unique_now(), &Chance::fresh()?, &reply)?;
                }
            }
        }
    }

    async fn send(&self, whom: Whom, request: &Request) -> Result<Vec<u8>, KerberosError> {
        self.transport.exchange_with(whom, &request.realm, &request.bytes, Via::Configured).await
    }

    fn good_service_ticket(&self, service: &PrincipalName) -> Option<ServiceTicket> {
        let now = self.now();
        let good = self.held().services.get(service).filter(|ticket| fresh::is_good(ticket, now)).cloned();
        good.map(|ticket| self.service_ticket(ticket))
    }

    fn keep_service(&self, service: &PrincipalName, granted: Granted) -> Result<ServiceTicket, KerberosError> {
        let mut held = self.held();
        held.clock = granted.clock;
        let now = granted.clock.at(self.local_now());
        if !fresh::is_valid(&granted.ticket, now) {
            return Err(KerberosError::Config(format!(
                "the KDC gave a ticket that ended at {}",
                granted.ticket.end_time
            )));
        }
        held.services.retain(|_, ticket| fresh::is_valid(ticket, now));
        held.services.insert(service.clone(), granted.ticket.clone());
        drop(held);
        Ok(ServiceTicket { is_kept: false, ..self.service_ticket(granted.ticket) })
    }

    fn service_ticket(&self, ticket: HeldTicket) -> ServiceTicket {
        ServiceTicket { ticket, is_kept: true, clock: self.held().clock, local: self.local }
    }

    /// Starts the keeper, once.
    fn keep_in_time(self: &Arc<Self>) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.as_ref().is_none_or(AbortHandle::is_finished) {
            *keeper = Some(tokio::spawn(keep(Arc::downgrade(self))).abort_handle());
        }
    }

    /// How long the ticket may be left alone.
    fn rest(&self) -> Duration {
        let held = self.held();
        let now = held.clock.at(self.local_now());
        let due = held.tgt.as_ref().map_or(now, |tgt| fresh::due(tgt, held.jitter));
        let seconds = u64::try_from(due.seconds.saturating_sub(now.seconds)).unwrap_or(0);
        // A clock may be set, and a machine may sleep.
        Duration::from_secs(seconds).clamp(MIN_PAUSE, Duration::from_hours(1))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local_now(&self) -> KerberosTime {
        KerberosTime::from((self.local)())
    }

    /// Now by the KDC's clock.
    fn now(&self) -> KerberosTime {
        let clock = self.held().clock;
        clock.at(self.local_now())
    }

    /// Now by the local clock, and no time that was given before: KDCs and services take an authenticator with the same
    /// microsecond for a replay.
    fn unique_now(&self) -> KerberosTime {
        TICKER.next(self.local_now())
    }
}

impl Drop for KerberosLogin {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().ok().and_then(Option::take) {
            keeper.abort();
        }
    }
}

/// Ends with the login.
async fn keep(login: Weak<KerberosLogin>) {
    while let Some(rest) = login.upgrade().map(|login| login.rest()) {
        tokio::time::sleep(rest).await;
        let Some(login) = login.upgrade() else { return };
        let Ok(_turn) = login.turn.acquire().await else { return };
        match login.tgt().await {
            Err(error) if error.is_retriable() => tracing::warn!(%error, "the Kerberos ticket could not be replaced"),
            // Whoever wants a ticket next tries again, and hears why not.
            Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The KDC tells when the password expires (RFC 4120 §5.4.2, `key-expiration`); after that it refuses with 23.
fn warn_of_expiration(ticket: &HeldTicket, expires: Option<KerberosTime>) {
    const WITHIN_SECONDS: i64 = 7 * 86_400;
    if let Some(expires) = expires.filter(|expires| *expires < ticket.start_time.plus_seconds(WITHIN_SECONDS)) {
        tracing::warn!(principal = %ticket.client, %expires, "the password or key expires soon");
    }
}

/// The KDC does not take the ticket any more: its key was changed, or its clock says that it has ended.
fn is_stale(error: &KerberosError) -> bool {
    let stale = [KrbErrorCode::BAD_INTEGRITY, KrbErrorCode::TKT_EXPIRED, KrbErrorCode::BADKEYVER];
    error.code().is_some_and(|code| stale.contains(&code))
}

fn shut() -> KerberosError {
    KerberosError::Config("the runtime is shutting down".to_owned())
}

#[cfg(test)]
mod tests;
