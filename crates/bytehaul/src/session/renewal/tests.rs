//! One answer for all who wait, few in vain, none too early: the laws of renewal, in virtual time.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::*;
use crate::auth::Auth;
use crate::refresh::{RefreshError, refresh_fn};

const STATUS: StatusCode = StatusCode::UNAUTHORIZED;

/// A refresher that takes a second for each token, and how often it was asked.
fn renewal(
    expires_at: Option<SystemTime>,
    answer: fn(u32) -> Result<Refreshed, RefreshError>,
) -> (Arc<Renewal>, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let refresher = refresh_fn(move |_| {
        let n = count.fetch_add(1, SeqCst) + 1;
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(n)
        }
    });
    let url = Url::parse("http://h/").unwrap();
    let given = Given::new(url, HeaderMap::new(), None, Arc::default());
    let renewal = Renewal::new(given, Some(Arc::new(refresher)), expires_at);
    (Arc::new(renewal), asked)
}

fn token(n: u32) -> Result<Refreshed, RefreshError> {
    Ok(Refreshed::new().auth(Auth::bearer(n.to_string())))
}

/// The number of the token that is sent.
fn sent(current: &Current) -> Option<String> {
    let fields = current.given.fields(current.given.url());
    let value = fields.get(AUTHORIZATION)?.to_str().unwrap();
    Some(value.trim_start_matches("Bearer ").to_owned())
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_together_waits_for_one_answer() {
    let (renewal, asked) = renewal(None, token);
    let current = renewal.current().await;
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (renewal, current) = (Arc::clone(&renewal), current.clone());
            tokio::spawn(async move { renewal.refused(&current, STATUS).await })
        })
        .collect();
    for waits in waiting {
        assert_eq!(waits.await.unwrap().unwrap(), Then::AskAgain);
    }
    // Who comes late with the old token has nothing to wait for.
    let late = renewal.refused(&current, STATUS).await.unwrap();
    assert_eq!((late, asked.load(SeqCst)), (Then::AskAgain, 1));
    assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_loses_nothing() {
    let (renewal, asked) = renewal(None, token);
    let current = renewal.current().await;
    let soon = Duration::from_millis(500);
    let given_up = tokio::time::timeout(soon, renewal.refused(&current, STATUS)).await;
    assert!(given_up.is_err());
    renewal.refused(&current, STATUS).await.unwrap();
    assert_eq!(asked.load(SeqCst), 1);
    assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn in_vain_only_so_often_until_something_is_taken() {
    let (renewal, asked) = renewal(None, token);
    for round in 1..=2 {
        for _ in 0..MOST_FRUITLESS {
            let current = renewal.current().await;
            let then = renewal.refused(&current, STATUS).await.unwrap();
            assert_eq!(then, Then::AskAgain);
        }
        let current = renewal.current().await;
        assert_eq!(
            renewal.refused(&current, STATUS).await.unwrap(),
            Then::TakeIt
        );
        assert_eq!(asked.load(SeqCst), MOST_FRUITLESS * round);
        renewal.accepted(&current);
    }
}

#[tokio::test(start_paused = true)]
async fn other_answers_are_none_of_its_business() {
    let (renewal, asked) = renewal(None, token);
    let current = renewal.current().await;
    for status in [400, 402, 404, 407, 429, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            renewal.refused(&current, status).await.unwrap(),
            Then::TakeIt
        );
    }
    assert_eq!(asked.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_others_get_in_with_is_not_the_trouble() {
    let (renewal, asked) = renewal(None, token);
    let first = renewal.current().await;
    renewal
        .refused(&first, StatusCode::FORBIDDEN)
        .await
        .unwrap();
    let current = renewal.current().await;
    renewal.accepted(&current);
    let then = renewal.refused(&current, StatusCode::FORBIDDEN).await;
    assert_eq!(then.unwrap(), Then::TakeIt);
    let then = renewal.refused(&current, STATUS).await;
    assert_eq!((then.unwrap(), asked.load(SeqCst)), (Then::AskAgain, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_about_to_expire_holds_nobody_up() {
    let soon = SystemTime::now() + AHEAD / 2;
    let (renewal, asked) = renewal(Some(soon), token);
    renewal.state().expiry.as_mut().unwrap().ask_at = SystemTime::now();
    for _ in 0..3 {
        assert_eq!(
            sent(&renewal.current().await),
            None,
            "the old one is still good"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_renewed_ahead_is_asked_for_again_when_it_expires() {
    let soon = SystemTime::now() + AHEAD;
    let answer = |n| match n {
        1 | 3 => Err("busy".into()),
        _ => token(n).map(|token| token.expires_at(SystemTime::now() + AHEAD)),
    };
    let (renewal, asked) = renewal(Some(soon), answer);
    let ahead = || renewal.state().expiry.as_mut().unwrap().ask_at = SystemTime::now();
    ahead();
    for _ in 0..3 {
        assert_eq!(sent(&renewal.current().await), None);
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_eq!(asked.load(SeqCst), 1, "it is still good");
    let expire = || {
        let mut state = renewal.state();
        let expiry = state.expiry.as_mut().expect("it is asked again");
        assert_eq!(expiry.ask_at, expiry.at);
        let now = SystemTime::now();
        *expiry = Expiry {
            ask_at: now,
            at: now,
        };
    };
    expire();
    assert_eq!(sent(&renewal.current().await).as_deref(), Some("2"));
    // Of the one that has expired too, the server says when it is over.
    renewal.state().expiry = Some(Expiry {
        ask_at: SystemTime::UNIX_EPOCH,
        at: SystemTime::UNIX_EPOCH,
    });
    assert_eq!(sent(&renewal.current().await).as_deref(), Some("2"));
    assert_eq!(renewal.state().expiry, None);
    assert_eq!(asked.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error() {
    let (renewal, _) = renewal(None, |_| panic!("a bug"));
    let current = renewal.current().await;
    let error = renewal.refused(&current, STATUS).await.unwrap_err();
    assert!(matches!(error, DownloadError::Refresh { .. }), "{error:?}");
}

#[test]
fn short_lives_are_renewed_at_half_time() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let check = |life: u64, expected: u64| {
        let expiry = Expiry::of(now + Duration::from_secs(life), now);
        assert_eq!(expiry.ask_at, now + Duration::from_secs(expected), "{life}");
    };
    check(3600, 3570);
    check(60, 30);
    check(40, 20);
    check(0, 0);
    assert_eq!(Expiry::of(now - AHEAD, now).ask_at, now);
}
