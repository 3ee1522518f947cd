use std::path::PathBuf;
use std::sync::Mutex;

use ottla_devbroker::TokenEndpoint as Https;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::TlsOptions;
use crate::config::tls::{Pem, TlsIdentity, TrustedCa};

/// An HTTP server that answers everything with these bytes and keeps what it was asked.
async fn server(answer: String) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/realms/shop/token?x=1", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(String::new()));
    let keep = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 65536];
            let mut len = 0;
            while !String::from_utf8_lossy(&request[..len]).contains("grant_type") {
                match stream.read(&mut request[len..]).await.unwrap() {
                    0 => break,
                    read => len += read,
                }
            }
            *keep.lock().unwrap() = String::from_utf8_lossy(&request[..len]).into_owned();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

fn endpoint(url: &str) -> Endpoint {
    let mut settings = TokenEndpoint::new(url, "shop:1", "s e/cret");
    settings.scope = Some("kafka read".to_owned());
    Endpoint::new(settings).unwrap()
}

/// An answer with this status line and body.
fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn error_of(answer: String) -> Error {
    endpoint(&server(answer).await.0).fetch().await.unwrap_err()
}

#[tokio::test]
async fn the_grant_is_asked_for_as_the_rfc_says_and_the_token_taken_with_its_life() {
    let body = r#"{"access_token":"abc.def","token_type":"Bearer","expires_in":300,"more":[1]}"#;
    let answer =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let (url, asked) = server(answer).await;
    let token = endpoint(&url).fetch().await.unwrap();
    assert_eq!(format!("{token:?}").matches("abc").count(), 0);
    let asked = asked.lock().unwrap().to_lowercase();
    assert!(asked.starts_with("post /realms/shop/token?x=1 http/1.1\r\n"), "{asked}");
    let basic = BASE64.encode("shop%3A1:s+e%2Fcret").to_lowercase();
    assert!(asked.contains(&format!("authorization: basic {basic}\r\n")), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=kafka+read"), "{asked}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_endpoints_words_without_the_secret() {
    let body = r#"{"error":"invalid_client","error_description":"bad\u001b[2J s e/cret, s+e%2Fcret, cyBlL2NyZXQ="}"#;
    let error = error_of(http("401 Unauthorized", body)).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let text = error.to_string();
    assert!(text.contains("HTTP 401 invalid_client: bad\\u{1b}[2J [redacted], [redacted], [redacted]"), "{text}");
}

#[tokio::test]
async fn a_server_in_trouble_may_be_asked_again() {
    let error = error_of(http("503 Service Unavailable", "")).await;
    assert!(error.is_retriable(), "{error}");
    assert!(error_of(String::new()).await.is_retriable());
}

#[tokio::test]
async fn an_answer_without_a_good_token_is_refused_by_what_it_lacks() {
    for (answer, part) in [
        (http("200 OK", "{}"), "no access_token"),
        (http("200 OK", "<html>"), "no access_token"),
        (http("200 OK", r#"{"access_token":"a b"}"#), "character"),
        (http("200 OK", r#"{"access_token":"a","token_type":"mac"}"#), "another type"),
        ("220 smtp ready\r\n".to_owned(), "gave no answer"),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(600_000)), "gave no answer"),
    ] {
        let error = error_of(answer).await.to_string();
        assert!(error.contains(part) && error.contains("/realms/shop/token"), "{part}: {error}");
    }
}

#[test]
fn a_url_that_is_none_is_refused_with_the_right_form() {
    for url in ["", "host", "ftp://h/x", "https://", "/token", "http://u:hunter2@h/x"] {
        let error = Endpoint::new(TokenEndpoint::new(url, "id", "secret")).err().unwrap();
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(Endpoint::new(TokenEndpoint::new("https://h/x", "id", "")).is_err());
    let endpoint = Endpoint::new(TokenEndpoint::new("https://[::1]:8443/t", "id", "secret")).unwrap();
    assert_eq!((endpoint.server, endpoint.secure), (Server::new("::1", 8443), true));
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(testdata(name)).unwrap()
}

fn trusting(ca: impl Into<PathBuf>) -> TlsOptions {
    TlsOptions { ca: TrustedCa::Pem(Pem::file(ca)), ..TlsOptions::default() }
}

/// An endpoint over https that shows this certificate.
async fn https(certificate: &str, client_ca: Option<&str>) -> Https {
    Https::start(&text(certificate), &text("server.key"), client_ca.map(text).as_deref()).await.unwrap()
}

/// What asks it.
fn asking(https: &Https, tls: TlsOptions) -> Endpoint {
    let settings = TokenEndpoint { tls, ..TokenEndpoint::new(https.url(), "shop", "s e/cret") };
    Endpoint::new(settings).unwrap()
}

#[tokio::test]
async fn a_token_comes_over_https_from_an_endpoint_that_is_believed() {
    let https = https("server.pem", None).await;
    asking(&https, trusting(testdata("ca.pem"))).fetch().await.unwrap();
    let basic = BASE64.encode("shop:s+e%2Fcret");
    assert!(https.heard().contains(&basic), "{}", https.heard());
}

#[tokio::test]
async fn an_endpoint_that_is_not_believed_is_told_why_and_hears_nothing() {
    for (certificate, part) in [
        ("expired.pem", "the endpoint's certificate expired at 2020-01-31 00:00:00 UTC"),
        ("not-yet-valid.pem", "the endpoint's certificate is valid only from 2110-01-01"),
        ("other-name.pem", "the endpoint's certificate is for elsewhere.test, *.elsewhere.test, not for localhost"),
        ("other-ca-server.pem", "the endpoint's certificate comes from an authority that is not trusted here"),
    ] {
        let https = https(certificate, None).await;
        let error = asking(&https, trusting(testdata("ca.pem"))).fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        let told = error.to_string();
        assert!(told.contains(&format!("the token endpoint {}: {part}", https.url())), "{told}");
        assert!(!error.is_retriable() && !told.contains("s e/cret") && !told.contains("broker"), "{told}");
        assert_eq!((https.connections(), https.heard().as_str()), (1, ""), "{certificate}");
    }
}

#[tokio::test]
async fn a_ca_that_changes_on_disk_counts_for_the_next_token() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::copy(testdata("ca.pem"), &ca).unwrap();
    let https = https("server.pem", None).await;
    let endpoint = asking(&https, trusting(&ca));
    endpoint.fetch().await.unwrap();
    // The endpoint moves to another authority before its clients have heard of it.
    https.show(&text("other-ca-server.pem"), &text("server.key")).unwrap();
    assert_eq!(endpoint.fetch().await.unwrap_err().kind(), ErrorKind::Tls);
    std::fs::copy(testdata("other-ca.pem"), &ca).unwrap();
    endpoint.fetch().await.unwrap();
    // Half a file keeps nobody out.
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----").unwrap();
    endpoint.fetch().await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_misses_a_client_certificate_is_heard_and_satisfied() {
    let https = https("server.pem", Some("ca.pem")).await;
    let error = asking(&https, trusting(testdata("ca.pem"))).fetch().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains("the endpoint wants a client certificate, and none is set"), "{error}");
    assert_eq!(https.heard(), "");
    let pem = |name| Pem::file(testdata(name));
    let identity = Some(TlsIdentity::new(pem("client-p256.pem"), pem("client-p256.key")));
    asking(&https, TlsOptions { identity, ..trusting(testdata("ca.pem")) }).fetch().await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_told_with_where_it_leads() {
    let (first, second) = (https("server.pem", None).await, https("server.pem", None).await);
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Moved"] {
        first.answer(&format!("{status}\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", second.url()));
        let error = asking(&first, trusting(testdata("ca.pem"))).fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        let told = error.to_string();
        assert!(told.contains(&format!("HTTP {}", &status[..3])), "{told}");
        assert!(told.contains(&first.url()) && !told.contains("s e/cret"), "{told}");
        assert!(told.contains(&format!("redirects to {}, which is not followed", second.url())), "{told}");
    }
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_port_without_tls_is_asked_for_no_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/token", listener.local_addr().unwrap());
    let settings = TokenEndpoint { tls: trusting(testdata("ca.pem")), ..TokenEndpoint::new(&url, "shop", "secret") };
    let endpoint = Endpoint::new(settings).unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let len = stream.read(&mut heard).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // To the end of what the client says.
        let _ = stream.read_to_end(&mut heard).await;
        assert!(heard.starts_with(&[0x16, 3]) && len > 0, "a hello of TLS");
        assert!(!String::from_utf8_lossy(&heard).contains("POST"));
    };
    let (fetched, ()) = tokio::join!(endpoint.fetch(), serving);
    let error = fetched.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains(&format!("{url}: what the peer says is no TLS")), "{error}");
}

#[test]
fn what_is_wrong_with_the_certificates_is_said_at_the_start_with_the_endpoint() {
    let settings = TokenEndpoint::new("https://id.test/token", "shop", "s e/cret");
    let told = Endpoint::new(TokenEndpoint { tls: trusting("absent.pem"), ..settings }).unwrap().open().unwrap_err();
    assert!(told.contains("https://id.test/token") && told.contains("absent.pem cannot be read"), "{told}");
}

#[test]
fn only_plain_http_to_another_machine_is_exposed() {
    for url in ["http://id.example.org/t", "http://localhost.example.org/t", "http://10.0.0.1/", "http://[::2]:80/t"] {
        assert!(is_exposed(url), "{url}");
    }
    for url in ["https://id.example.org/t", "http://localhost:80/t", "http://127.8.8.8/t", "http://[::1]:80/t", "x", ""]
    {
        assert!(!is_exposed(url), "{url}");
    }
}
