//! Which files there are, whether they have changed, and the authorities in them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::pem;
use crate::config::tls::{Pem, TlsOptions, TrustedCa};

/// A directory of authorities has some hundred files.
const MAX_FILES: usize = 4096;

/// A file as it was when it was read: a file that is written or replaced has another time or size.
#[derive(Debug)]
pub(super) struct Stamp {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: seen(path) }
    }

    pub(super) fn has_changed(&self) -> bool {
        seen(&self.path) != self.seen
    }
}

fn seen(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What there is now. Taken before reading, so that a change while reading is seen the next time.
pub(super) fn stamps(options: &TlsOptions) -> Vec<Stamp> {
    let identity = options.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
    let mut stamps: Vec<_> = identity.filter_map(Pem::path).map(Stamp::of).collect();
    match &options.ca {
        TrustedCa::Pem(pem) => stamps.extend(pem.path().map(Stamp::of)),
        // A directory's own time changes when files come and go.
        TrustedCa::Directory(directory) => {
            stamps.push(Stamp::of(directory));
            stamps.extend(files_of(directory).unwrap_or_default().iter().map(|file| Stamp::of(file)));
        }
        TrustedCa::System => {}
    }
    stamps
}

/// The authorities to be believed, at least one. Those that are named one by one are told to `certificates`.
pub(super) fn roots(
    ca: &TrustedCa,
    certificates: &mut Vec<(String, CertificateDer<'static>)>,
) -> Result<RootCertStore, String> {
    match ca {
        TrustedCa::System => system(),
        TrustedCa::Directory(directory) => in_directory(directory),
        TrustedCa::Pem(pem) => {
            let what = pem.path().map_or("the CA".to_owned(), |path| format!("the CA {}", path.display()));
            let text = pem::read(pem).map_err(|e| format!("{what}: {e}"))?;
            let found = pem::certificates(&text).map_err(|e| format!("{what}: {e}"))?;
            certificates.extend(found.iter().map(|certificate| (what.clone(), certificate.clone())));
            let mut roots = RootCertStore::empty();
            for certificate in found {
                roots.add(certificate).map_err(|e| format!("{what}: a certificate cannot be parsed: {e}"))?;
            }
            Ok(roots)
        }
    }
}

/// Single certificates of a system that cannot be parsed are passed over, as OpenSSL does.
fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
    Err(format!(
        "the system has no trusted authorities{why}; install them (Debian: ca-certificates), name them in SSL_CERT_FILE, or \
         give the CA"
    ))
}

fn in_directory(directory: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for file in files_of(directory)? {
        // Keys, lists and notes may lie beside the certificates; what is there is judged by what it holds.
        let Ok(found) = pem::read_file(&file).and_then(|text| pem::certificates(&text)) else { continue };
        roots.add_parsable_certificates(found);
    }
    if roots.is_empty() {
        return Err(format!("the CA directory {} has no file with a certificate in PEM", directory.display()));
    }
    Ok(roots)
}

/// The files of a directory, links followed, in no order.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |e: std::io::Error| format!("the CA directory {} cannot be read: {e}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(format!("the CA directory {} has more than {MAX_FILES} files", directory.display()));
        }
    }
    Ok(files)
}
