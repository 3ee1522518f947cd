//! Permissions, logins and delegation tokens.

use ottla_protocol::ErrorCode;
use ottla_protocol::acl::{AclOperation, AclPermissionType, PatternType, ResourceType};
use ottla_protocol::messages::*;

use crate::peer::{Peer, fine};
use crate::topics::ORDERS;

const LOGIN: &[u8] = b"\0alice\0alice-secret";

/// CreateAcls, DescribeAcls, DeleteAcls.
pub(crate) fn permitted(peer: &mut Peer) {
    for version in peer.versions::<CreateAclsRequest>() {
        let principal = format!("User:reader-{version}");
        let creation = CreatableAcl {
            resource_type: ResourceType::TOPIC,
            resource_name: ORDERS.into(),
            resource_pattern_type: PatternType::LITERAL,
            principal: principal.clone(),
            host: "*".into(),
            operation: AclOperation::READ,
            permission_type: AclPermissionType::ALLOW,
        };
        let answer = peer.ask(version, &CreateAclsRequest { creations: vec![creation] });
        fine(answer.results[0].error_code, "CreateAcls");
        found(peer, version, &principal);
        removed(peer, version, principal);
    }
}

fn found(peer: &mut Peer, n: i16, principal: &str) {
    let version = peer.version::<DescribeAclsRequest>(n).expect("a version");
    let filter = DescribeAclsRequest {
        resource_type: ResourceType::ANY,
        resource_name_filter: None,
        resource_pattern_type: PatternType::LITERAL,
        principal_filter: Some(principal.into()),
        host_filter: None,
        operation: AclOperation::ANY,
        permission_type: AclPermissionType::ANY,
    };
    let answer = peer.until(version, &filter, |answer| !answer.resources.is_empty());
    fine(answer.error_code, "DescribeAcls");
    assert_eq!((answer.resources[0].name.as_str(), answer.resources[0].acls[0].host.as_str()), (ORDERS, "*"));
}

fn removed(peer: &mut Peer, n: i16, principal: String) {
    let version = peer.version::<DeleteAclsRequest>(n).expect("a version");
    let filter = DeleteAclsFilter {
        resource_type_filter: ResourceType::TOPIC,
        resource_name_filter: Some(ORDERS.into()),
        pattern_type_filter: PatternType::LITERAL,
        principal_filter: Some(principal),
        host_filter: None,
        operation: AclOperation::ANY,
        permission_type: AclPermissionType::ANY,
    };
    let answer = peer.ask(version, &DeleteAclsRequest { filters: vec![filter] });
    fine(answer.filter_results[0].error_code, "DeleteAcls");
    assert_eq!(answer.filter_results[0].matching_acls.len(), 1, "v{version}");
}

/// SaslHandshake, SaslAuthenticate, raw tokens, and the four APIs of delegation tokens (KIP-48).
pub(crate) fn logged_in(peer: &mut Peer, address: &str) {
    out_of_place(peer);
    let mut other = peer.another(address);
    let handshake = |mechanism: &str| SaslHandshakeRequest { mechanism: mechanism.into() };
    let answer = other.ask(0, &handshake("NEVER-HEARD-OF"));
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
    assert_eq!(answer.mechanisms, ["PLAIN"]);

    let mut raw = peer.another(address);
    fine(raw.ask(0, &handshake("PLAIN")).error_code, "SaslHandshake");
    assert!(raw.raw_token(LOGIN).is_empty(), "PLAIN answers with an empty token");
    fine(raw.ask(0, &ApiVersionsRequest::default()).error_code, "ApiVersions after a raw login");

    for version in peer.versions::<SaslAuthenticateRequest>() {
        let wrong = login(&mut peer.another(address), version, b"\0alice\0wrong");
        assert_eq!(wrong.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED, "v{version}");
        assert!(wrong.error_message.is_some(), "v{version}: the broker says why");
        let mut peer = peer.another(address);
        fine(login(&mut peer, version, LOGIN).error_code, "SaslAuthenticate");
        tokens(&mut peer, version);
    }
}

fn login(peer: &mut Peer, version: i16, token: &'static [u8]) -> SaslAuthenticateResponse {
    fine(peer.ask(1, &SaslHandshakeRequest { mechanism: "PLAIN".into() }).error_code, "SaslHandshake v1");
    peer.ask(version, &SaslAuthenticateRequest { auth_bytes: bytes::Bytes::from_static(token).into() })
}

/// A listener without SASL has an answer for each of these too.
fn out_of_place(peer: &mut Peer) {
    let anyone = || SaslHandshakeRequest { mechanism: "PLAIN".into() };
    peer.each(|_| anyone(), |_, answer| assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE));
    peer.each(
        |_| SaslAuthenticateRequest { auth_bytes: bytes::Bytes::from_static(LOGIN).into() },
        |_, answer| assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE),
    );
    peer.each(
        |_| CreateDelegationTokenRequest { max_lifetime_ms: -1, ..Default::default() },
        |_, answer| assert_eq!(answer.error_code, ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED),
    );
}

fn tokens(peer: &mut Peer, n: i16) {
    let alice = || ("User".to_owned(), "alice".to_owned());
    for n in [n, n + 1] {
        let Some(version) = peer.version::<CreateDelegationTokenRequest>(n) else { return };
        let ((principal_type, principal_name), max_lifetime_ms) = (alice(), 600_000);
        let renewers = vec![CreatableRenewers { principal_type, principal_name }];
        let token = peer.ask(version, &CreateDelegationTokenRequest { renewers, max_lifetime_ms });
        fine(token.error_code, "CreateDelegationToken");
        assert!(token.max_timestamp_ms - token.issue_timestamp_ms == max_lifetime_ms && !token.hmac.0.is_empty());

        let version = peer.version::<DescribeDelegationTokenRequest>(n).expect("a version");
        let (principal_type, principal_name) = alice();
        let owners = Some(vec![DescribeDelegationTokenOwner { principal_type, principal_name }]);
        let known = |answer: &DescribeDelegationTokenResponse| {
            answer.tokens.iter().any(|known| known.token_id == token.token_id)
        };
        peer.until(version, &DescribeDelegationTokenRequest { owners }, known);

        let version = peer.version::<RenewDelegationTokenRequest>(n).expect("a version");
        let renew = RenewDelegationTokenRequest { hmac: token.hmac.clone(), renew_period_ms: 60_000 };
        fine(peer.ask(version, &renew).error_code, "RenewDelegationToken");
        let version = peer.version::<ExpireDelegationTokenRequest>(n).expect("a version");
        let expire = ExpireDelegationTokenRequest { hmac: token.hmac.clone(), expiry_time_period_ms: -1 };
        fine(peer.ask(version, &expire).error_code, "ExpireDelegationToken");
    }
}
