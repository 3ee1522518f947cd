//! The cryptography below rustls: graviola, Rust and assembler without C.
//!
//! There is no second provider for processors that graviola does not run on. The other one without C, rustls-rustcrypto, is
//! an alpha (0.0.2) whose authors forbid its use in production, and it would be there only where nobody tests it. A clear
//! refusal that says what to do is safer.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The provider, or why there is none on this machine. Graviola panics on a processor that lacks a feature, so that is
/// asked before.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn provider() -> Result<Arc<CryptoProvider>, String> {
    if !graviola::util::is_cpu_supported() {
        return Err(unsupported(&format!("its processor lacks {}", missing().join(", "))));
    }
    Ok(Arc::new(rustls_graviola::default_provider()))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn provider() -> Result<Arc<CryptoProvider>, String> {
    Err(unsupported(&format!("{} is not among the processors that it is built for", std::env::consts::ARCH)))
}

fn unsupported(why: &str) -> String {
    format!(
        "TLS cannot be had on this machine: {why}; use one with an x86-64 processor of 2015 or later, or an AArch64 one with \
         the cryptography extension (for a virtual machine: pass the host's processor through), or let a TLS proxy beside \
         it connect to the brokers"
    )
}

/// Those of graviola's needs (`graviola::low::*::cpu::is_cpu_supported`) that are not met.
#[cfg(target_arch = "x86_64")]
fn missing() -> Vec<&'static str> {
    lacking([
        ("aes", std::arch::is_x86_feature_detected!("aes")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("bmi1", std::arch::is_x86_feature_detected!("bmi1")),
        ("adx", std::arch::is_x86_feature_detected!("adx")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
    ])
}

#[cfg(target_arch = "aarch64")]
fn missing() -> Vec<&'static str> {
    lacking([
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ])
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn lacking<const N: usize>(features: [(&'static str, bool); N]) -> Vec<&'static str> {
    features.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviola_runs_exactly_where_nothing_that_we_name_is_missing() {
        assert_eq!(provider().is_ok(), missing().is_empty(), "{:?}", missing());
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_what_to_do() {
        let text = unsupported(&format!("its processor lacks {}", lacking([("adx", false), ("aes", true)]).join(", ")));
        assert!(text.contains("lacks adx;") && text.contains("proxy"), "{text}");
    }
}
