//! Tickets from a credential cache, and into it.

use std::path::Path;

use super::super::error::KerberosError;
use super::super::exchange::{Clock, Granted, TgsExchange};
use super::super::principal::{Principal, PrincipalName};
use super::super::ticket::HeldTicket;
use super::options::{Source, read_cache};
use super::{KerberosLogin, ServiceTicket, fresh};

impl KerberosLogin {
    /// Another process may have renewed the file's ticket; else it is renewed here, in memory.
    pub(super) async fn read_or_renew(
        &self,
        path: &Path,
        owner: Option<&Principal>,
        old: Option<&HeldTicket>,
    ) -> Result<Granted, KerberosError> {
        let cache = read_cache(path, owner)?;
        let clock = cache.kdc_offset.map_or(self.held().clock, |(seconds, micros)| Clock::ahead_by(seconds, micros));
        let now = clock.at(self.local_now());
        let ours = old.filter(|old| old.client == cache.principal);
        let best = cache.tgt().into_iter().chain(ours).max_by_key(|ticket| ticket.end_time);
        let Some(ticket) = best else {
            return Err(run_kinit(path, &cache.principal, "has no ticket for other tickets"));
        };
        let granted = |ticket: &HeldTicket| Granted { ticket: ticket.clone(), clock, key_expiration: None };
        if fresh::is_good(ticket, now) && now < fresh::due(ticket, self.held().jitter) {
            return Ok(granted(ticket));
        }
        if fresh::is_renewable(ticket, now) {
            let renewal = TgsExchange::renewal(self.config.clone(), ticket.clone(), clock);
            match self.drive_tgs(renewal).await {
                Ok(renewed) => {
                    self.put_into_cache(&renewed.ticket);
                    return Ok(renewed);
                }
                Err(error) => tracing::warn!(%error, "the credential cache's ticket could not be renewed"),
            }
        }
        if fresh::is_valid(ticket, now) {
            return Ok(granted(ticket));
        }
        Err(run_kinit(path, &cache.principal, &format!("has a ticket that ended at {}", ticket.end_time)))
    }

    /// Into the cache's file, if that was asked for. The file is read again first: others write to it too.
    pub(super) fn put_into_cache(&self, ticket: &HeldTicket) {
        let Source::Cache(path, owner) = &self.source else { return };
        if !self.write_back {
            return;
        }
        let put = read_cache(path, owner.as_ref()).and_then(|mut cache| {
            cache.store(ticket.clone());
            cache.save(path)
        });
        if let Err(error) = put {
            tracing::warn!(%error, "a ticket serves from memory alone");
        }
    }

    /// A cache may have the very ticket, and no other.
    pub(super) fn cached_service_ticket(
        &self,
        service: &PrincipalName,
    ) -> Result<Option<ServiceTicket>, KerberosError> {
        let Source::Cache(path, owner) = &self.source else { return Ok(None) };
        let cache = read_cache(path, owner.as_ref())?;
        if let Some((seconds, micros)) = cache.kdc_offset {
            self.held().clock = Clock::ahead_by(seconds, micros);
        }
        let good = cache.service(service).filter(|ticket| fresh::is_good(ticket, self.now()));
        // Not kept, although it is old: the file has no other, however often it is read.
        Ok(good.map(|ticket| ServiceTicket { is_kept: false, ..self.service_ticket(ticket.clone()) }))
    }
}

fn run_kinit(path: &Path, owner: &Principal, what: &str) -> KerberosError {
    KerberosError::Config(format!("the credential cache {} of {owner} {what}; run kinit", path.display()))
}
