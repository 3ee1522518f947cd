use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// Gives `token-1`, `token-2` … each good for so long; fails once it has given as many as it may.
struct Numbered {
    given: Arc<AtomicU32>,
    at_most: u32,
    lifetime: Option<Duration>,
}

impl TokenProvider for Numbered {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
            if number > self.at_most {
                return Err("the well is dry".into());
            }
            let token = BearerToken::new(&format!("token-{number}"))?;
            Ok(match self.lifetime {
                Some(lifetime) => token.expires_in(lifetime),
                None => token,
            })
        })
    }
}

fn tokens(at_most: u32, lifetime: Option<Duration>) -> (Tokens, Arc<AtomicU32>) {
    let given = Arc::new(AtomicU32::new(0));
    let provider = Numbered { given: given.clone(), at_most, lifetime };
    (Tokens::new(OauthBearer::provider(provider)), given)
}

async fn text(tokens: &Tokens) -> String {
    tokens.token().await.unwrap().expose().to_owned()
}

#[tokio::test]
async fn many_at_once_get_one_token_fetched_once() {
    let (tokens, given) = tokens(9, Some(Duration::from_mins(1)));
    let (a, b, c) = tokio::join!(text(&tokens), text(&tokens), text(&tokens));
    assert_eq!((a.as_str(), b.as_str(), c.as_str()), ("token-1", "token-1", "token-1"));
    assert_eq!(given.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_token_without_a_known_end_is_fetched_for_each_login() {
    let (tokens, _) = tokens(9, None);
    assert_eq!((text(&tokens).await, text(&tokens).await), ("token-1".to_owned(), "token-2".to_owned()));
}

#[tokio::test]
async fn a_refused_token_is_not_used_again() {
    let (tokens, _) = tokens(9, Some(Duration::from_mins(1)));
    text(&tokens).await;
    tokens.forget().await;
    assert_eq!(text(&tokens).await, "token-2");
}

#[tokio::test]
async fn an_old_token_serves_to_its_end_when_there_is_no_new_one() {
    let (tokens, given) = tokens(1, Some(Duration::from_secs(1)));
    text(&tokens).await;
    tokio::time::sleep(Duration::from_millis(880)).await;
    assert_eq!(text(&tokens).await, "token-1");
    assert_eq!(given.load(Ordering::Relaxed), 2, "a new one was asked for");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = tokens.token().await.unwrap_err();
    assert!(error.to_string().contains("the well is dry"), "{error}");
}

#[tokio::test]
async fn a_file_is_read_again_each_time_and_its_faults_are_named_without_its_content() {
    let path = std::env::temp_dir().join(format!("ottla-token-{}", std::process::id()));
    let tokens = Tokens::new(OauthBearer::file(&path));
    let missing = tokens.token().await.unwrap_err();
    assert!(missing.to_string().contains(&*path.to_string_lossy()), "{missing}");
    std::fs::write(&path, "first\n").unwrap();
    assert_eq!(text(&tokens).await, "first");
    std::fs::write(&path, "  second\r\n").unwrap();
    assert_eq!(text(&tokens).await, "second");
    for wrong in ["hunter2 hunter3", "", "e30.eyJleHAiOjF9."] {
        std::fs::write(&path, wrong).unwrap();
        let error = tokens.token().await.unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()) && !error.contains("hunter"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
}
