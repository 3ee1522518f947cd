//! Who is asked again when a KDC refuses the client.

use super::*;

/// Options whose krb5.conf names this KDC, and that one as the primary.
fn with_primary(kdc: &Kdc, primary: &str, password: &str) -> KerberosOptions {
    KerberosOptions::password("alice", password).krb5_conf_text(&format!(
        "[libdefaults]\ndefault_realm = R\ndefault_tkt_enctypes = aes128-cts\n{AS_IT_STANDS}[realms]\nR = {{\nkdc = {}\n{primary}\n}}\n",
        kdc.address
    ))
}

#[tokio::test]
async fn a_password_that_a_replica_does_not_know_yet_is_shown_to_the_primary_once() {
    for name in ["primary_kdc", "master_kdc"] {
        let (replica, primary) = (Kdc::start().await, Kdc::start().await);
        primary.world().alice().password = "new".to_owned();
        let named = format!("{name} = {}", primary.address);
        let granted = login(&with_primary(&replica, &named, "new")).tgt().await.unwrap();
        assert_eq!(granted.client.to_string(), "alice@R");
        assert_eq!((replica.asked().len(), primary.asked().len()), (2, 2));
        // Neither knows it: each has heard it once.
        let error = login(&with_primary(&replica, &named, "wrong")).tgt().await.unwrap_err();
        assert!(matches!(error, KerberosError::WrongKey { .. }), "{error}");
        assert_eq!((replica.asked().len(), primary.asked().len()), (2, 2));
        // The replica knows the old one.
        login(&with_primary(&replica, &named, "secret")).tgt().await.unwrap();
        assert_eq!((replica.asked().len(), primary.asked().len()), (2, 0));
        // A client that is new.
        primary.world().realm("R").accounts.clear();
        let alice = replica.world().realm("R").accounts.remove("alice").unwrap();
        primary.world().realm("R").accounts.insert("alice".to_owned(), alice);
        login(&with_primary(&replica, &named, "secret")).tgt().await.unwrap();
        assert_eq!((replica.asked().len(), primary.asked().len()), (1, 2));
    }
}

#[tokio::test]
async fn without_another_primary_a_wrong_password_is_shown_once() {
    let (kdc, mut gone) = (Kdc::start().await, Kdc::start().await);
    gone.tasks.shutdown().await;
    for primary in [String::new(), format!("primary_kdc = {}", kdc.address), format!("primary_kdc = {}", gone.address)]
    {
        let error = login(&with_primary(&kdc, &primary, "wrong")).tgt().await.unwrap_err();
        assert!(matches!(error, KerberosError::WrongKey { .. }), "{primary}: {error}");
        assert_eq!(kdc.asked().len(), 2, "{primary}");
    }
    // What no other password would change is nothing to ask the primary.
    let primary = Kdc::start().await;
    kdc.world().alice().refused = Some(18);
    let named = format!("primary_kdc = {}", primary.address);
    login(&with_primary(&kdc, &named, "secret")).tgt().await.unwrap_err();
    assert!(primary.asked().is_empty());
}
