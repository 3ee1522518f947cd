//! The TLS step: a handshake with each server that is configured.

use std::time::{Duration, SystemTime};

use ottla_client::{Error, ErrorKind, TlsOptions};

use super::kafka::TLS;
use super::steps::Steps;

/// One step, which is not told yet: what comes after the handshake may still be about TLS.
pub(super) async fn protect(tls: Option<&TlsOptions>, servers: &[String], limit: Duration) -> Steps {
    let mut step = Steps::default();
    let Some(tls) = tls else {
        step.skip(TLS, "no `tls` is configured");
        return step;
    };
    let mut sessions = Vec::new();
    let mut doubts = Vec::new();
    let mut failures: Vec<Error> = Vec::new();
    for server in servers {
        match tls.handshake(server, limit).await {
            Ok(session) => {
                doubts.extend(session.ending_soon(SystemTime::now()).map(|doubt| format!("{server}: {doubt}")));
                sessions.push(format!("{server}: {session}"));
            }
            Err(error) => failures.push(error),
        }
    }
    doubts.extend(tls.check(SystemTime::now()).unwrap_or_default());
    tell(&mut step, tls, &sessions, &doubts, &failures);
    step
}

fn tell(step: &mut Steps, tls: &TlsOptions, sessions: &[String], doubts: &[String], failures: &[Error]) {
    let problems = failures.iter().map(Error::to_string).collect::<Vec<_>>().join("; ");
    let shown = sessions.join("; ");
    if sessions.is_empty() {
        let speaks = failures.iter().any(|error| error.kind() == ErrorKind::Tls);
        let help = if speaks { help(true) } else { "is this the broker's TLS port, and does nothing stand between?" };
        step.fail(TLS, problems, help);
    } else if !failures.is_empty() {
        step.warn(TLS, format!("{problems}; {shown}"), help(true));
    } else if tls.insecure_skip_verification {
        let detail = format!("{shown}; not verified (`insecure_skip_verification`)");
        step.warn(TLS, detail, "anyone on the way can read and change everything: give the CA in `ca` instead");
    } else if !doubts.is_empty() {
        step.warn(TLS, format!("{}; {shown}", doubts.join("; ")), "renew it before it ends");
    } else {
        step.pass(TLS, shown);
    }
}

/// What to do about an error of TLS, whose own text says what is wrong.
pub(super) fn help(configured: bool) -> &'static str {
    if configured {
        "check `ca`, `cert`, `key` and `server_name` of `tls` with the cluster's owner"
    } else {
        "add `tls = {}` (the system's authorities) or `tls = { ca = \"ca.pem\" }`"
    }
}
