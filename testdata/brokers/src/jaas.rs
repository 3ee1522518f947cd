//! What a broker's logins are made of, in Java's words (JAAS).

use std::fmt::Write as _;

use crate::KafkaOptions;

/// Tokens without a signature (KIP-255), for tests alone. The broker has to be somebody, too.
pub(crate) const OAUTHBEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
    unsecuredLoginStringClaim_sub=\"broker\";";

const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";

/// The mechanisms of the SASL listeners, each with its login module.
pub(crate) fn modules(options: &KafkaOptions) -> Vec<(&'static str, String)> {
    let mut modules = vec![("PLAIN", plain(options))];
    if let Some(security) = &options.security {
        // An acceptor needs its key, and nothing of a KDC.
        let kerberos = format!(
            "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false \
             keyTab=\"{}\" principal=\"{}\";",
            security.keytab.display(),
            security.principal
        );
        modules.extend(["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| (mechanism, SCRAM.to_owned())));
        modules.push(("GSSAPI", kerberos));
    }
    modules
}

/// The same as a file, for releases before 1.1, which know no login per listener.
pub(crate) fn file(options: &KafkaOptions) -> String {
    let mut modules: Vec<_> = modules(options).into_iter().map(|(_, module)| module).collect();
    modules.dedup();
    format!("KafkaServer {{\n{}\n}};\n", modules.join("\n"))
}

fn plain(options: &KafkaOptions) -> String {
    let mut text = "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
    for user in &options.sasl_plain {
        // Writing into a string cannot fail.
        let _ = write!(text, " user_{}=\"{}\"", user.name, user.password);
    }
    text.push(';');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_kerberos_offers_plain_alone_to_all_its_users() {
        let options = KafkaOptions::default().sasl_plain("alice", "one").sasl_plain("bob", "two");
        let modules = modules(&options);
        assert_eq!(modules.len(), 1);
        assert!(modules[0].1.ends_with(" required user_alice=\"one\" user_bob=\"two\";"), "{modules:?}");
        assert_eq!(file(&options), format!("KafkaServer {{\n{}\n}};\n", modules[0].1));
    }
}
