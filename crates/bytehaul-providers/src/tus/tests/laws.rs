//! What holds whatever happens: complete means byte-exact at the server, and errors are the right ones.

use bytehaul_integrity::Algorithm;
use http::StatusCode;
use proptest::prelude::*;
use url::Url;

use super::draft_server::{self, DraftServer};
use super::driver::{End, Harm, Server, run};
use super::script::bytes;
use super::server::{self, TusServer};
use crate::tus::{Tus, TusDraft};
use crate::{Object, ProtocolErrorKind};

const EXTENSIONS: [&str; 5] = [
    "creation",
    "termination",
    "creation-defer-length",
    "creation-with-upload",
    "checksum",
];

fn url() -> Url {
    Url::parse("https://h/files").unwrap()
}

/// Settings of the client, and of a server that can do what they need.
fn tus() -> impl Strategy<Value = (Tus, server::Traits, bool)> {
    let client = (
        any::<bool>(),
        any::<bool>(),
        prop::option::of(0..3_usize),
        any::<bool>(),
    );
    let server = (
        any::<bool>(),
        any::<bool>(),
        1..200_usize,
        any::<bool>(),
        any::<bool>(),
    );
    (client, server, any::<bool>()).prop_map(|(client, server, stream)| {
        let (with_data, join, checksum, discover) = client;
        let (silent, joins, most, odd, consumes) = server;
        let mut tus = Tus::new(url())
            .creation_with_data(with_data)
            .concatenation(join)
            .discover(discover);
        if let Some(which) = checksum {
            tus = tus.checksum([Algorithm::Sha1, Algorithm::Md5, Algorithm::Sha256][which]);
        }
        let mut extensions = EXTENSIONS.to_vec();
        extensions.extend(joins.then_some("concatenation"));
        let most = if silent { usize::MAX } else { most };
        let mismatch = if odd { 417 } else { 460 };
        (
            tus,
            server::Traits {
                extensions,
                silent,
                most,
                mismatch,
                consumes,
            },
            stream,
        )
    })
}

fn object(len: u64, stream: bool, part: u64, parallel: usize) -> Object {
    let mut object = Object::new("a", (!stream).then_some(len));
    object.part_size = Some(part);
    object.parallel = parallel;
    object
}

fn scripts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..120)
}

/// A new length of the source, if it has one, and from where on its bytes are others.
fn changed() -> impl Strategy<Value = (Option<u64>, usize)> {
    (prop::option::weighted(0.2, 1..300_u64), 0..300_usize)
}

fn change(data: &[u8], (len, at): (Option<u64>, usize)) -> Vec<u8> {
    let mut changed = bytes(0..len.unwrap_or(data.len() as u64));
    let at = at % changed.len();
    changed[at..].iter_mut().for_each(|byte| *byte ^= 0x55);
    changed
}

fn exact(end: &End, server: &dyn Server, data: &[u8]) -> Result<(), TestCaseError> {
    if let End::Done(done) = end {
        let location = done.location.clone().unwrap_or_default();
        let made = server.object(&location);
        prop_assert_eq!(made.as_deref(), Some(data));
    }
    Ok(())
}

proptest! {
    /// Whatever happens to requests, answers and the process, it ends complete and exact; the one exception is a server
    /// that uses up what was to be joined and does not say what became of it.
    #[test]
    fn tus_through_a_bad_network(
        (tus, traits, stream) in tus(),
        len in 0..300_u64,
        part in 1..120_u64,
        parallel in 1..5_usize,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let consumes = traits.consumes;
        let mut server = TusServer::new(traits);
        let end = run(&tus, &object(len, stream, part, parallel), &data, None, &mut server, Harm::Network, &script);
        match &end {
            End::Done(_) => exact(&end, &server, &data)?,
            End::Failed(kind) => prop_assert!(consumes && *kind == ProtocolErrorKind::Indeterminate, "{:?}", kind),
        }
    }

    /// A server that loses bytes and uploads too is given up at some time, and never taken for complete when it is not.
    #[test]
    fn tus_with_a_bad_server(
        (tus, traits, stream) in tus(),
        len in 0..300_u64,
        part in 1..120_u64,
        parallel in 1..5_usize,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let mut server = TusServer::new(traits);
        let end = run(&tus, &object(len, stream, part, parallel), &data, None, &mut server, Harm::Server, &script);
        match &end {
            End::Done(_) => exact(&end, &server, &data)?,
            End::Failed(kind) => prop_assert!(matches!(kind,
                ProtocolErrorKind::Status(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
                | ProtocolErrorKind::Indeterminate | ProtocolErrorKind::Range), "{:?}", kind),
        }
    }

    /// Bytes of a source that has changed between two runs are never mixed with those of the new one.
    #[test]
    fn tus_mixes_no_sources(
        (tus, traits, _) in tus(),
        len in 1..300_u64,
        changed in changed(),
        part in 1..120_u64,
        parallel in 1..5_usize,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let changed = change(&data, changed);
        let mut server = TusServer::new(traits);
        let end = run(&tus, &object(len, false, part, parallel), &data, Some(&changed), &mut server, Harm::Network, &script);
        if let End::Done(done) = &end {
            let made = server.object(&done.location.clone().unwrap_or_default());
            prop_assert!(made.as_ref() == Some(&data) || made.as_ref() == Some(&changed));
        }
    }

    /// The same for the draft, where a complete upload may be forgotten at once.
    #[test]
    fn draft_through_a_bad_network(
        stream in any::<bool>(),
        (min, more) in (1..50_u64, 0..100_u64),
        forgets in any::<bool>(),
        tells in any::<bool>(),
        len in 0..300_u64,
        part in 1..120_u64,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let traits = draft_server::Traits { min_append: min, max_append: min + more, forgets, tells };
        let mut server = DraftServer::new(traits);
        let end = run(&TusDraft::new(url()), &object(len, stream, part, 1), &data, None, &mut server, Harm::Network, &script);
        match &end {
            End::Done(_) => {
                exact(&end, &server, &data)?;
                prop_assert_eq!(server.objects(), 1);
            }
            End::Failed(kind) => prop_assert!(forgets && *kind == ProtocolErrorKind::Indeterminate, "{:?}", kind),
        }
    }

    /// The same with a server that loses what it had.
    #[test]
    fn draft_with_a_bad_server(
        stream in any::<bool>(),
        (min, more) in (1..50_u64, 0..100_u64),
        tells in any::<bool>(),
        len in 0..300_u64,
        part in 1..120_u64,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let traits = draft_server::Traits { min_append: min, max_append: min + more, forgets: false, tells };
        let mut server = DraftServer::new(traits);
        let end = run(&TusDraft::new(url()), &object(len, stream, part, 1), &data, None, &mut server, Harm::Server, &script);
        match &end {
            End::Done(_) => exact(&end, &server, &data)?,
            End::Failed(kind) => prop_assert!(matches!(kind,
                ProtocolErrorKind::Status(StatusCode::NOT_FOUND) | ProtocolErrorKind::Indeterminate), "{:?}", kind),
        }
    }

    /// And with a source that changed between two runs.
    #[test]
    fn draft_mixes_no_sources(
        tells in any::<bool>(),
        len in 1..300_u64,
        changed in changed(),
        part in 1..120_u64,
        script in scripts(),
    ) {
        let data = bytes(0..len);
        let changed = change(&data, changed);
        let traits = draft_server::Traits { min_append: 1, max_append: 100, forgets: false, tells };
        let mut server = DraftServer::new(traits);
        let end = run(&TusDraft::new(url()), &object(len, false, part, 1), &data, Some(&changed), &mut server, Harm::Network, &script);
        match end {
            End::Done(_) => {
                let made = server.object("");
                prop_assert!(made.as_ref() == Some(&data) || made.as_ref() == Some(&changed));
            }
            End::Failed(kind) => prop_assert_eq!(kind, ProtocolErrorKind::Changed),
        }
    }
}
