//! What is said and not said of the object that is there: of an earlier run, or of a session that is gone.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::{Driver, Store};
use crate::gcs::{Gcs, GcsToken};
use crate::{
    Answer, Available, Fault, Left, Lost, Next, Object, Saved, Stage, UploadProtocol, UploadSession,
};

/// What the lost answer would have said is not forgotten with the session: the object that is in the way may be ours.
#[test]
fn an_object_in_the_way_of_a_second_session_may_be_ours() {
    let object = Object::new("f", Some(100));
    let available = Available {
        until: 100,
        ended: true,
    };
    let driver = Driver::new(100);
    let location = [("location", "https://storage.googleapis.com/s?upload_id=1")];
    let check =
        |answers: &[Option<u16>], expected: &str| {
            let to = Gcs::new("gs://bucket/a name", GcsToken::new("t")).unwrap();
            let mut session = to.if_absent(true).open(&object, None).unwrap();
            let mut ended = String::new();
            for answer in answers {
                let Ok(Next::Send(exchange)) = session.next(available, driver.now) else {
                    panic!("no request")
                };
                let Some(code) = answer else {
                    session.lost(exchange.id, Lost::Unknown);
                    continue;
                };
                let mut headers = HeaderMap::new();
                if *code == 200 {
                    headers.extend(location.map(|(name, value)| {
                        (HeaderName::from_static(name), value.parse().unwrap())
                    }));
                }
                let code = StatusCode::from_u16(*code).unwrap();
                let body = Bytes::new();
                let told = Answer::new(code, &headers, &body, &exchange.url);
                if let Err(Fault::Fatal(error)) = session.answered(exchange.id, &told, driver.now) {
                    ended = format!("{:?}: {error}", error.kind());
                }
            }
            assert_eq!(ended, expected, "{answers:?}");
        };
    let unknown = |last: u16| {
        format!(
            "Indeterminate: it cannot be known whether the object was made: an answer was lost, and the next one was status {last}"
        )
    };
    // Opened, the last chunk lost, its session gone; the second one is refused, at once or at its end.
    for gone in [404, 410] {
        let lost = [Some(200), None, Some(gone)];
        let second = |more: &[Option<u16>]| [&lost[..], more].concat();
        for refused in [412, 403] {
            check(&second(&[Some(refused)]), &unknown(refused));
            check(&second(&[Some(200), Some(refused)]), &unknown(refused));
        }
    }
    check(&[Some(200), None, Some(412)], &unknown(412));
    let gone = [Some(200), Some(410)];
    let thrice = [&[Some(200), None, Some(410)], &gone[..], &gone].concat();
    check(
        &thrice,
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, and the session is gone again",
    );
    // Where nothing was lost, it is another's.
    let is_there = "Changed: an object is there already: status 412";
    check(&[Some(412)], is_there);
    check(&[Some(200), Some(412)], is_there);
    check(&[Some(200), Some(410), Some(200), Some(412)], is_there);
}

/// The session of a finished upload answers for the upload, not for what stands there today, so that is looked at.
#[test]
fn a_complete_upload_is_looked_for() {
    let saved = |session: &dyn UploadSession| {
        let mut saved = session.saved();
        saved.session = Some(crate::SessionId::new(
            "https://storage.googleapis.com/s?upload_id=1",
        ));
        saved
    };
    let check = |unchanged: bool, change: fn(&mut Store), expected: &[&str]| {
        let mut driver = Driver::new(100);
        driver.drive(&[]).unwrap();
        let mut left = Saved {
            stage: Stage::Complete,
            ..saved(&*driver.open(None))
        };
        left.extra.insert("etag".into(), "E".into());
        let mut store = driver.store.lock().unwrap();
        store.log.clear();
        change(&mut store);
        drop(store);
        let session = driver.open(Some(Left::new(left, unchanged)));
        let completed = driver.go_on(session, &[]).unwrap();
        assert_eq!(completed.etag.as_deref(), Some("E"));
        let store = driver.store.lock().unwrap();
        assert_eq!(store.log, expected);
        assert_eq!(store.object.as_ref(), Some(&driver.source));
    };
    let sent = "PUT bytes 0-99/100";
    check(true, |_| (), &["GET"]);
    check(true, |store| store.valid += 1, &["GET"]);
    // It is not there, or another one is, or it may not be looked at.
    let anew = ["GET", "POST", sent];
    check(true, |store| store.object = None, &anew);
    check(true, |store| store.object = Some(vec![0]), &anew);
    let refused = ["GET", "GET", "POST", sent];
    check(true, |store| store.refuses = Some(403), &refused);
    check(true, |store| store.refuses = Some(501), &anew);
    // The source is another one.
    check(false, |_| (), &["POST", sent]);
}
