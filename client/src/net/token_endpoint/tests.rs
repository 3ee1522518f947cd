use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

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
    let body = r#"{"error":"invalid_client","error_description":"bad\u001b[2J secret"}"#;
    let error = error_of(http("401 Unauthorized", body)).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let text = error.to_string();
    assert!(text.contains("HTTP 401 invalid_client: bad?[2J secret") && !text.contains("s e/cret"), "{text}");
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
        (http("302 Found", ""), "HTTP 302"),
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
