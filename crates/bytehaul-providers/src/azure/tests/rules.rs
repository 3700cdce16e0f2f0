//! Single uploads: what is asked, in which order, and how it ends.

use super::world::{Fate, World};
use crate::azure::{BlockCheck, Existing};
use crate::{Acknowledged, Next, ProtocolErrorKind, Saved, Stage, UploadProtocol};

use Fate::{
    Answered, Busy, Expired, Forgotten, Garbled, Gateway, Hasty, Lost, Overwritten, Unsent,
};

/// How it ends: `done`, or the kind of the error.
fn drive(world: &mut World, left: Option<Saved>, fates: &[Fate]) -> (String, Saved) {
    let (ended, saved) = world.drive(left, fates, &[0]);
    let end = match ended {
        Ok(_) => {
            assert_eq!(world.blob().as_ref(), Some(&world.source));
            "done".to_owned()
        }
        Err(error) => match error.kind() {
            ProtocolErrorKind::Status(status) => format!("status {}", status.as_u16()),
            kind => format!("{kind:?}"),
        },
    };
    (end, saved)
}

#[track_caller]
fn check(world: &mut World, fates: &[Fate], log: &str, end: &str) -> Saved {
    let (ended, saved) = drive(world, None, fates);
    assert_eq!(
        (world.log().as_str(), ended.as_str()),
        (log, end),
        "{fates:?}"
    );
    saved
}

const ALL: &str = "block 4, block 4, block 2, PUT blocklist";

#[test]
fn small_ones_are_put_at_once_and_others_in_blocks() {
    check(&mut World::new(0, 4), &[], "PUT blob", "done");
    check(&mut World::new(4, 4), &[], "PUT blob", "done");
    let saved = check(&mut World::new(10, 4), &[], ALL, "done");
    assert_eq!((saved.stage, saved.parts.len()), (Stage::Complete, 3));
    for check_with in [BlockCheck::None, BlockCheck::Crc64] {
        let mut world = World::new(10, 4);
        world.check = check_with;
        check(&mut world, &[], ALL, "done");
    }
}

#[test]
fn streams_are_as_long_as_they_turn_out() {
    for (len, log) in [(0, "PUT blob"), (3, "PUT blob"), (10, ALL)] {
        let mut world = World::new(len, 4);
        world.is_stream = true;
        check(&mut world, &[], log, "done");
    }
}

#[test]
fn what_passes_is_tried_again() {
    let again = "block 4, block 4, block 4, block 2, PUT blocklist";
    for fate in [Lost, Gateway] {
        check(&mut World::new(10, 4), &[fate], again, "done");
    }
    for fate in [Unsent, Busy, Garbled] {
        check(&mut World::new(10, 4), &[fate], ALL, "done");
    }
    check(
        &mut World::new(3, 4),
        &[Lost, Busy],
        "PUT blob, PUT blob",
        "done",
    );
}

#[test]
fn a_success_before_the_body_is_none() {
    check(&mut World::new(10, 4), &[Hasty], ALL, "done");
    check(&mut World::new(3, 4), &[Hasty], "PUT blob", "done");
}

#[test]
fn a_lost_commit_is_put_again_and_comes_to_the_same() {
    for fate in [Lost, Gateway] {
        let mut world = World::new(10, 4);
        let log = format!("{ALL}, PUT blocklist");
        check(
            &mut world,
            &[Answered, Answered, Answered, fate],
            &log,
            "done",
        );
        // Where nothing may be replaced, the blob's own blocks tell whose it is.
        world = World::new(10, 4);
        world.existing = Existing::Refuse;
        let log = format!("HEAD blob, {ALL}, PUT blocklist, GET blocklist");
        check(
            &mut world,
            &[Answered, Answered, Answered, Answered, fate],
            &log,
            "done",
        );
    }
    let mut world = World::new(10, 4);
    world.existing = Existing::Refuse;
    world.service.lock().unwrap().is_write_only = true;
    let fates = [Answered, Answered, Answered, Answered, Lost];
    let log = format!("HEAD blob, {ALL}, PUT blocklist, GET blocklist");
    check(&mut world, &fates, &log, "Indeterminate");
}

#[test]
fn a_blob_that_is_put_at_once_is_known_again_by_its_md5() {
    let mut world = World::new(3, 4);
    world.existing = Existing::Refuse;
    for check_with in [BlockCheck::Md5, BlockCheck::Crc64, BlockCheck::None] {
        world.service.lock().unwrap().blob = None;
        world.check = check_with;
        check(&mut world, &[Lost], "PUT blob, PUT blob, HEAD blob", "done");
    }
    world.put(b"abc");
    check(&mut world, &[], "PUT blob", "Changed");
    check(&mut world, &[Unsent], "PUT blob", "Changed");
    check(
        &mut world,
        &[Lost],
        "PUT blob, PUT blob, HEAD blob",
        "Changed",
    );
    assert_eq!(world.blob().unwrap(), b"abc");
    // A blob whose MD5 nobody knows.
    world.service.lock().unwrap().blob.as_mut().unwrap().has_md5 = false;
    check(
        &mut world,
        &[Lost],
        "PUT blob, PUT blob, HEAD blob",
        "Indeterminate",
    );
}

#[test]
fn what_must_not_be_replaced_is_found_before_a_byte_is_sent() {
    let mut world = World::new(10, 4);
    world.existing = Existing::Refuse;
    world.put(b"theirs");
    check(&mut world, &[], "HEAD blob", "Changed");
    world.service.lock().unwrap().is_write_only = true;
    check(&mut world, &[], &format!("HEAD blob, {ALL}"), "Changed");
    assert_eq!(world.blob().unwrap(), b"theirs");
}

#[test]
fn lost_blocks_are_sent_again_and_not_for_ever() {
    let fates = [Answered, Answered, Answered, Forgotten];
    let log = format!("{ALL}, GET blocklist, block 2, PUT blocklist");
    check(&mut World::new(10, 4), &fates, &log, "done");
    // Another writer's commit discards what is staged.
    let fates = [Answered, Answered, Answered, Overwritten];
    let log = format!("{ALL}, GET blocklist, {ALL}");
    check(&mut World::new(10, 4), &fates, &log, "done");
    // Without the right to ask, all of them are.
    let mut world = World::new(10, 4);
    world.service.lock().unwrap().is_write_only = true;
    check(&mut world, &fates, &log, "done");
    let mut fates = vec![Answered; 3];
    for _ in 0..10 {
        fates.extend([Forgotten, Answered, Answered]);
    }
    let (ended, _) = drive(&mut World::new(10, 4), None, &fates);
    assert_eq!(ended, "status 400");
}

#[test]
fn a_resumed_upload_believes_the_service() {
    let stop = |after| {
        let world = World::new(10, 4);
        let (_, saved) = world.stopped(&mut *world.open(None), after);
        world.log();
        (world, saved)
    };
    let resume = |world: &mut World, saved: &Saved, log: &str| {
        let (ended, _) = drive(world, Some(saved.clone()), &[]);
        assert_eq!((world.log().as_str(), ended.as_str()), (log, "done"));
    };
    let (mut world, saved) = stop(2);
    assert_eq!(saved.stage, Stage::Sending);
    resume(&mut world, &saved, "GET blocklist, block 2, PUT blocklist");
    // It has lost a block since.
    let (mut world, saved) = stop(2);
    world.service.lock().unwrap().staged.pop_first();
    resume(
        &mut world,
        &saved,
        "GET blocklist, block 4, block 2, PUT blocklist",
    );
    // It has a block of which no receipt tells.
    let (mut world, mut saved) = stop(3);
    saved.parts.truncate(1);
    resume(&mut world, &saved, "GET blocklist, PUT blocklist");
    // It has them all, and the list was put.
    let (mut world, mut saved) = stop(4);
    assert_eq!(saved.stage, Stage::Complete);
    saved.stage = Stage::Committing;
    resume(&mut world, &saved, "GET blocklist");
    // It may not say.
    let (mut world, saved) = stop(2);
    world.service.lock().unwrap().is_write_only = true;
    resume(&mut world, &saved, "GET blocklist, block 2, PUT blocklist");
    // There is nothing.
    let (mut world, saved) = stop(3);
    world.service.lock().unwrap().staged.clear();
    resume(&mut world, &saved, &format!("GET blocklist, {ALL}"));
}

#[test]
fn blocks_of_a_changed_source_do_not_count_by_their_names() {
    let mut world = World::new(10, 4);
    let (_, saved) = world.stopped(&mut *world.open(None), 3);
    world.log();
    world.source[9] ^= 1;
    world.unchanged = false;
    let (ended, _) = drive(&mut world, Some(saved), &[]);
    assert_eq!(ended, "done");
    assert_eq!(world.log(), "GET blocklist, block 2, PUT blocklist");
}

#[test]
fn a_complete_upload_is_looked_for_and_not_sent_again() {
    for len in [3, 10] {
        let mut world = World::new(len, 4);
        let (_, saved) = drive(&mut world, None, &[]);
        world.log();
        let (ended, again) = drive(&mut world, Some(saved.clone()), &[]);
        assert_eq!(
            (world.log().as_str(), ended.as_str()),
            ("HEAD blob", "done")
        );
        assert_eq!(
            (again.parts, again.extra),
            (saved.parts.clone(), saved.extra.clone())
        );
        world.put(&vec![1; len]);
        let (ended, _) = drive(&mut world, Some(saved.clone()), &[]);
        assert_eq!(ended, "done");
        assert!(world.log().starts_with("HEAD blob, "));
        // None is there, and it may be looked at or not.
        for is_write_only in [false, true] {
            let mut service = world.service.lock().unwrap();
            (service.blob, service.is_write_only) = (None, is_write_only);
            drop(service);
            assert_eq!(drive(&mut world, Some(saved.clone()), &[]).0, "done");
        }
    }
}

#[test]
fn access_is_renewed_once() {
    let mut world = World::new(10, 4);
    world.renews = true;
    check(
        &mut world,
        &[Answered, Expired],
        "block 4, block 4, block 4, block 2, PUT blocklist",
        "done",
    );
    check(&mut World::new(10, 4), &[Expired], "block 4", "status 403");
    // Whether the lost one was carried out before the signature expired can be asked for no more.
    let fates = [Answered, Answered, Answered, Lost, Expired];
    let log = format!("{ALL}, PUT blocklist, GET blocklist");
    check(&mut World::new(10, 4), &fates, &log, "Indeterminate");
}

/// What was refused was not made: another run need not look for it, and is refused in the same words.
#[test]
fn a_small_blob_that_is_refused_is_in_no_doubt() {
    let mut left = None;
    for _ in 0..2 {
        let mut world = World::new(4, 4);
        let (ended, saved) = drive(&mut world, left, &[Expired]);
        assert_eq!(
            (world.log().as_str(), ended.as_str()),
            ("PUT blob", "status 403")
        );
        assert_eq!(saved.stage, Stage::Beginning);
        left = Some(saved);
    }
}

#[test]
fn cancelling_sends_nothing() {
    let world = World::new(10, 4);
    world.put(b"theirs");
    let mut session = world.open(None);
    world.stopped(&mut *session, 2);
    world.log();
    session.abort();
    let available = crate::Available {
        until: 10,
        ended: true,
    };
    assert!(matches!(
        session.next(available, world.now),
        Ok(Next::Aborted)
    ));
    assert_eq!(session.stage(), Stage::Aborted);
    assert_eq!(world.log(), "");
    assert_eq!(world.blob().unwrap(), b"theirs");
}

#[test]
fn other_programs_blocks_are_named_in_the_error() {
    let mut world = World::new(10, 4);
    world
        .service
        .lock()
        .unwrap()
        .staged
        .insert("MA==".to_owned(), vec![1]);
    let (ended, _) = world.drive(None, &[], &[0]);
    let error = ended.unwrap_err().to_string();
    assert!(
        error.contains("InvalidBlobOrBlock") && error.contains("expire"),
        "{error}"
    );
}

#[test]
fn what_the_service_has_is_acknowledged() {
    let world = World::new(10, 4);
    let mut session = world.open(None);
    world.stopped(&mut *session, 2);
    let expected = Acknowledged {
        prefix: 8,
        bytes: 8,
    };
    assert_eq!(session.acknowledged(), expected);
    assert_eq!(session.part_size(), 4);
}

#[test]
fn a_source_of_another_length_is_refused() {
    let world = World::new(10, 4);
    let available = crate::Available {
        until: 9,
        ended: true,
    };
    let error = world.open(None).next(available, world.now).unwrap_err();
    assert_eq!(error.kind(), ProtocolErrorKind::Length);
    assert!(world.azure().endpoint().is_none());
    assert_eq!(
        world.azure().target(),
        "http://127.0.0.1:1/dev/box/a%20blob"
    );
}
