//! Sessions of uploads whose server says whatever it likes, and which an honest one then has to be able to finish.

mod honest;
mod liar;
mod script;

use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_providers::form::Form;
use bytehaul_providers::tus::{Tus, TusDraft};
use bytehaul_providers::{Capabilities, UploadProtocol};
use serde_json::Value;

use self::liar::Liar;
use self::script::Event;

pub(crate) use self::honest::{Honest, discard, rest, source};

/// Whatever a server of the form protocol answers, its cursor leads nowhere but forward within the chunk that was sent; and
/// an answer is understood just as another JSON parser does.
pub fn form_reply(data: &[u8]) {
    let (setup, events) = script::read(data);
    let mut form = Form::new(CREATION).part_size(setup.part);
    if setup.says("md5") {
        let md5 = Hasher::digest(Algorithm::Md5, &source(0..setup.len));
        form = form.file_md5(md5.hex());
    }
    let mut liar = Liar::new(&form, Honest::Form, &setup);
    for event in &events {
        let before = liar.is_over();
        liar.suffer(event);
        if let Event::Answer {
            status,
            body,
            early: false,
            ..
        } = event
            && status.is_success()
            && !before
            && let Some(understood) = liar.understood()
        {
            form_understood(body, understood);
        }
    }
    liar.go_home(&form);
}

/// What one parser takes, a stricter or looser one takes as well.
fn form_understood(body: &[u8], understood: bool) {
    let Ok(text) = std::str::from_utf8(body) else {
        return assert!(!understood, "it is no text");
    };
    if text.trim().is_empty() {
        return assert!(understood, "a blank answer says nothing");
    }
    // Neither names that come twice nor escaped ones are told apart here.
    let plain = !text.contains('\\') && text.matches('"').count() < 8;
    match serde_json::from_str::<Value>(text.trim()) {
        Ok(Value::Object(fields)) => {
            let fits = |name: &str, fits: fn(&Value) -> bool| {
                fields
                    .get(name)
                    .is_none_or(|value| value.is_null() || fits(value))
            };
            let fits = fits("fileId", Value::is_string) && fits("nextByte", Value::is_i64);
            let twice =
                text.matches("\"fileId\"").count() > 1 || text.matches("\"nextByte\"").count() > 1;
            assert!(twice || !plain || fits == understood, "{text}");
        }
        Ok(_) => assert!(!understood, "{text}"),
        // The other parser looks into fields that are of no interest.
        Err(_) => (),
    }
}

/// Whatever a tus server answers, bytes go where it said that it is, and none is called complete that it did not confirm.
pub fn tus_answers(data: &[u8]) {
    let (setup, events) = script::read(data);
    let mut tus = Tus::new(CREATION)
        .creation_with_data(setup.says("with-data"))
        .concatenation(setup.says("concat"))
        .override_method(setup.says("override"))
        .discover(setup.says("discover"));
    if setup.says("checksum") {
        tus = tus.checksum(Algorithm::Sha1);
    }
    if setup.says("existing") {
        tus = tus.upload_url("https://liar.test/uploads/0?token=fuzzedsecret");
    }
    play(&tus, Honest::Tus, &setup, &events);
}

/// The same for the draft, whose fields are structured, and whose limits are kept.
pub fn draft_answers(data: &[u8]) {
    let (setup, events) = script::read(data);
    let mut draft = TusDraft::new(CREATION);
    if setup.says("existing") {
        draft = draft.upload_url("https://liar.test/uploads/0?token=fuzzedsecret");
    }
    play(&draft, Honest::Draft, &setup, &events);
}

fn play(
    protocol: &dyn UploadProtocol,
    honest: Honest,
    setup: &script::Setup<'_>,
    events: &[Event],
) {
    let mut liar = Liar::new(protocol, honest, setup);
    for event in events {
        liar.suffer(event);
    }
    liar.go_home(protocol);
}

fn takes_streams(protocol: &dyn UploadProtocol) -> bool {
    let Capabilities { unknown_length, .. } = protocol.capabilities();
    unknown_length
}

const CREATION: &str = "https://liar.test/files?token=fuzzedsecret";
const SECRET: &str = "fuzzedsecret";
