//! Attempts at the same thing that are begun one after the other, the next as soon as one fails or lets wait for too long.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

/// How attempts follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// After this time without an outcome the next attempt is begun beside those under way.
    pub(crate) stagger: Duration,
    /// As many attempts run at a time; the oldest is given up for one more. Not 0.
    pub(crate) most: usize,
}

/// The attempt that succeeded first.
#[derive(Debug)]
pub(crate) struct Won<K, T> {
    pub(crate) key: K,
    pub(crate) value: T,
    /// Those that had been begun before the winner and were still under way.
    pub(crate) overtaken: Vec<K>,
}

/// Makes attempts in the order of the keys until one succeeds; `None` when all have failed. `failed` is told of each that
/// does, without an error when it was given up. Dropping the future gives up all attempts.
pub(crate) async fn race<K: Clone, T, E, F>(
    keys: impl IntoIterator<Item = K>,
    pace: Pace,
    begin: impl Fn(K) -> F,
    mut failed: impl FnMut(K, Option<E>),
) -> Option<Won<K, T>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting: VecDeque<K> = keys.into_iter().collect();
    let mut running: Vec<Attempt<K, F>> = Vec::new();
    loop {
        if let Some(key) = waiting.pop_front() {
            if running.len() == pace.most {
                failed(running.remove(0).key, None);
            }
            let outcome = Box::pin(begin(key.clone()));
            running.push(Attempt { key, outcome });
        }
        if running.is_empty() {
            return None;
        }
        let stagger = (!waiting.is_empty()).then_some(pace.stagger);
        match next_event(&mut running, stagger).await {
            Event::Stagger => {}
            Event::Failed(index, error) => failed(running.remove(index).key, Some(error)),
            Event::Done(index, value) => {
                running.truncate(index + 1);
                let key = running.remove(index).key;
                let overtaken = running.into_iter().map(|attempt| attempt.key).collect();
                return Some(Won {
                    key,
                    value,
                    overtaken,
                });
            }
        }
    }
}

/// One of those under way; they are kept in the order in which they began.
struct Attempt<K, F> {
    key: K,
    outcome: Pin<Box<F>>,
}

enum Event<T, E> {
    Done(usize, T),
    Failed(usize, E),
    Stagger,
}

async fn next_event<K, T, E, F>(
    running: &mut [Attempt<K, F>],
    stagger: Option<Duration>,
) -> Event<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut stagger = pin!(stagger.map(sleep));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(event) = poll_attempts(running, cx) {
            return Poll::Ready(event);
        }
        match stagger.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| Event::Stagger),
            None => Poll::Pending,
        }
    })
    .await
}

fn poll_attempts<K, T, E, F>(
    running: &mut [Attempt<K, F>],
    cx: &mut Context<'_>,
) -> Poll<Event<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    for (index, attempt) in running.iter_mut().enumerate() {
        if let Poll::Ready(result) = attempt.outcome.as_mut().poll(cx) {
            return Poll::Ready(match result {
                Ok(value) => Event::Done(index, value),
                Err(error) => Event::Failed(index, error),
            });
        }
    }
    Poll::Pending
}
