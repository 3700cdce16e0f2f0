//! Servers in memory, and whatever may happen between them and a client.

use proptest::prelude::*;

use super::*;
use crate::Lost;

/// What happens to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Luck {
    Fine,
    AnswerLost,
    RequestLost,
    Unsent,
    /// A gateway answers in place of the server, which has done its work.
    Gateway,
    Busy,
    Throttled,
    /// So many bytes of the body arrive, and what arrives of a range is kept.
    Cut(usize),
    /// All but so many bytes of the object are lost, and the request.
    Loses(usize),
    Early,
    CrashBefore,
    CrashAfter,
}

#[derive(Default)]
struct Server {
    object: Option<Vec<u8>>,
    /// What each `POST` has made.
    made: Vec<Vec<u8>>,
    names_digest: bool,
    names_tag: bool,
    /// A plain `PUT` that breaks off leaves what has arrived.
    in_place: bool,
}

impl Server {
    fn meet(&mut self, seen: &Seen, luck: Luck) -> Play {
        match luck {
            Luck::Fine => self.take(seen),
            Luck::RequestLost => Play::Lost(Lost::Unknown),
            Luck::Unsent => Play::Lost(Lost::Unsent),
            Luck::Busy => Play::status(503),
            Luck::Throttled => Play::status(429),
            Luck::Early => match !seen.body.is_empty() {
                true => Play::Early(200),
                false => Play::status(503),
            },
            Luck::CrashBefore => Play::Crash,
            Luck::Cut(bytes) => {
                self.cut(seen, bytes);
                Play::Lost(Lost::Unknown)
            }
            Luck::Loses(kept) => {
                if let Some(object) = &mut self.object {
                    object.truncate(kept);
                }
                Play::Lost(Lost::Unknown)
            }
            Luck::AnswerLost | Luck::Gateway | Luck::CrashAfter => {
                let _ = self.take(seen);
                match luck {
                    Luck::AnswerLost => Play::Lost(Lost::Unknown),
                    Luck::Gateway => Play::status(502),
                    _ => Play::Crash,
                }
            }
        }
    }

    fn take(&mut self, seen: &Seen) -> Play {
        match (&seen.method, offset(seen)) {
            (&Method::HEAD, _) => return self.head(),
            (&Method::POST, _) => self.made.push(seen.body.clone()),
            (_, Some(offset)) => self.write(offset, &seen.body),
            (..) => {
                if seen.header("if-none-match").is_some() && self.object.is_some() {
                    return Play::status(412);
                }
                self.object = Some(seen.body.clone());
            }
        }
        Play::status(201)
    }

    fn cut(&mut self, seen: &Seen, bytes: usize) {
        let arrived = &seen.body[..bytes.min(seen.body.len())];
        match offset(seen) {
            Some(offset) => self.write(offset, arrived),
            None if self.in_place && seen.method == Method::PUT => {
                self.object = Some(arrived.to_vec());
            }
            None => (),
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let object = self.object.get_or_insert_default();
        let end = offset + bytes.len();
        object.resize(object.len().max(end), 0);
        object[offset..end].copy_from_slice(bytes);
    }

    fn head(&self) -> Play {
        let Some(object) = &self.object else {
            return Play::status(404);
        };
        let mut fields = vec![("content-length".to_owned(), object.len().to_string())];
        if self.names_tag {
            let hex = Hasher::digest(Algorithm::Md5, object).hex();
            fields.push(("etag".to_owned(), format!("\"{hex}\"")));
        }
        if self.names_digest {
            let sha = Hasher::digest(Algorithm::Sha256, object).base64();
            fields.push(("repr-digest".to_owned(), format!("sha-256=:{sha}:")));
        }
        Play::Answer(200, fields, bytes::Bytes::new())
    }
}

fn offset(seen: &Seen) -> Option<usize> {
    let value = seen.header("content-range")?;
    let (first, rest) = value.strip_prefix("bytes ")?.split_once('-')?;
    let (last, _total) = rest.split_once('/')?;
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first + 1, seen.body.len());
    Some(first)
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        5 => Just(Luck::Fine),
        1 => Just(Luck::AnswerLost),
        1 => Just(Luck::RequestLost),
        1 => Just(Luck::Unsent),
        1 => Just(Luck::Gateway),
        1 => Just(Luck::Busy),
        1 => Just(Luck::Throttled),
        2 => (0..12_usize).prop_map(Luck::Cut),
        1 => Just(Luck::Early),
        1 => Just(Luck::CrashBefore),
        1 => Just(Luck::CrashAfter),
    ]
}

fn source() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn lucks() -> impl Strategy<Value = Vec<Luck>> {
    prop::collection::vec(luck(), 0..40)
}

fn run(put: &Put, source: &[u8], server: &mut Server, mut lucks: Vec<Luck>) -> End {
    let mut driven = Driven::new(put, source);
    driven.tries = 100;
    driven.object.digest = server
        .names_digest
        .then(|| Hasher::digest(Algorithm::Sha256, source));
    let (end, acknowledged, _) = driven.run(|seen| {
        let luck = lucks.pop().unwrap_or(Luck::Fine);
        server.meet(seen, luck)
    });
    if matches!(end, End::Done(_)) {
        assert_eq!(acknowledged.prefix, source.len() as u64);
    }
    end
}

proptest! {
    /// Whatever was there before and happens on the way, in the end the object is there, byte for byte.
    #[test]
    fn a_put_ends_with_the_object(
        source in source(), lucks in lucks(), part_size in 1..20_u64, resumable: bool, in_place: bool,
        names_digest: bool, names_tag: bool, content_md5: bool,
        object in prop::option::of(source()),
    ) {
        let mut server = Server { object, in_place, names_digest, names_tag, ..Server::default() };
        let put = put().resumable(resumable).part_size(part_size).content_md5(content_md5);
        let end = run(&put, &source, &mut server, lucks);
        prop_assert!(matches!(end, End::Done(_)), "{end:?}");
        prop_assert_eq!(server.object, Some(source));
    }

    /// A server that loses bytes is found out: the object is whole or the upload has failed.
    #[test]
    fn a_server_that_loses_bytes_is_found_out(
        source in source(), part_size in 1..20_u64, names_digest: bool,
        lucks in prop::collection::vec(prop_oneof![3 => luck(), 1 => (0..60_usize).prop_map(Luck::Loses)], 0..60),
    ) {
        let mut server = Server { names_digest, ..Server::default() };
        let put = put().resumable(true).part_size(part_size);
        match run(&put, &source, &mut server, lucks) {
            End::Done(_) => prop_assert_eq!(server.object, Some(source)),
            End::Failed(error) => {
                let kind = error.kind();
                let known = matches!(kind, ProtocolErrorKind::Changed | ProtocolErrorKind::Checksum);
                prop_assert!(known, "{error:?}");
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// With a condition nothing that is there is replaced, and what is called complete is ours.
    #[test]
    fn a_conditional_put_replaces_nothing(
        source in source(), lucks in lucks(), names_digest: bool, names_tag: bool, content_md5: bool,
        object in prop::option::of(source()),
    ) {
        let mut server = Server { object: object.clone(), names_digest, names_tag, ..Server::default() };
        let put = put().if_none_match_any().content_md5(content_md5);
        let end = run(&put, &source, &mut server, lucks);
        let expected = object.clone().unwrap_or_else(|| source.clone());
        match end {
            End::Done(_) => prop_assert_eq!(&server.object, &Some(source)),
            End::Failed(error) => match error.kind() {
                ProtocolErrorKind::Indeterminate => {
                    // A tag that is another MD5 is no proof against it.
                    let proof = names_digest || (names_tag && content_md5 && object.is_none());
                    prop_assert!(!proof && server.object.as_ref().is_some_and(|it| it.len() == source.len()));
                }
                kind => prop_assert!(kind == ProtocolErrorKind::Changed && object.is_some(), "{error:?}"),
            },
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert_eq!(server.object, Some(expected));
    }

    /// A `POST` whose answer was lost is not sent again.
    #[test]
    fn a_post_makes_one_object(source in source(), lucks in lucks()) {
        let crashes = |luck: &Luck| matches!(luck, Luck::CrashAfter);
        let lucks: Vec<Luck> = lucks.into_iter().filter(|luck| !crashes(luck)).collect();
        let mut server = Server::default();
        let end = run(&put().method(Method::POST), &source, &mut server, lucks);
        match end {
            End::Done(_) => prop_assert_eq!(server.made, vec![source]),
            End::Failed(error) => {
                prop_assert_eq!(error.kind(), ProtocolErrorKind::Indeterminate);
                prop_assert!(server.made.len() <= 1);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
