//! The protocols of the conformance suite: each by its name, and made from the address that an endpoint gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytehaul::Algorithm;
use bytehaul::protocol::presigned::azure::Existing;
use bytehaul::protocol::presigned::{PlanRequest, UploadPlan};
use bytehaul::protocol::{Custom, Form, Presigned, Put, Tus, TusDraft, UploadProtocol};
use serde_json::Value;

use crate::own::{OwnBlocks, OwnTus};

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speech {
    Form,
    Put,
    Tus,
    Concatenated,
    Checked,
    Draft,
    S3,
    Azure,
    Own,
    OwnBlocks,
}

impl Speech {
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(name: &str) -> Self {
        let all = [
            Self::Form,
            Self::Put,
            Self::Tus,
            Self::Concatenated,
            Self::Checked,
            Self::Draft,
            Self::S3,
            Self::Azure,
            Self::Own,
            Self::OwnBlocks,
        ];
        let mut all = all.into_iter();
        all.find(|one| one.name() == name).expect("a known name")
    }

    /// The protocol towards this address; whoever renews the URLs of a plan counts here.
    pub(crate) fn protocol(
        self,
        address: &str,
        renewals: Option<Arc<AtomicU32>>,
    ) -> Arc<dyn UploadProtocol> {
        let url = || bytehaul::protocol::Url::parse(address).expect("a URL");
        match self {
            Self::Form => Arc::new(Form::new(address)),
            Self::Put => Arc::new(Put::new(address)),
            Self::Tus => Arc::new(Tus::new(url())),
            Self::Concatenated => Arc::new(Tus::new(url()).concatenation(true)),
            Self::Checked => Arc::new(Tus::new(url()).checksum(Algorithm::Sha256)),
            Self::Draft => Arc::new(TusDraft::new(url())),
            Self::S3 => presigned(s3(address), renewals),
            Self::Azure => presigned(azure(address), renewals),
            Self::Own => Arc::new(Custom::new(OwnTus::new(address))),
            Self::OwnBlocks => Arc::new(Custom::new(OwnBlocks::new(address))),
        }
    }
}

fn presigned(plan: UploadPlan, renewals: Option<Arc<AtomicU32>>) -> Arc<dyn UploadProtocol> {
    let protocol = Presigned::new(plan.clone());
    let Some(renewals) = renewals else {
        return Arc::new(protocol);
    };
    Arc::new(protocol.refresher(move || {
        renewals.fetch_add(1, Relaxed);
        let plan = plan.clone();
        async move { Ok(plan) }
    }))
}

fn s3(address: &str) -> UploadPlan {
    let said: Value = serde_json::from_str(address).expect("JSON");
    let text = |name: &str| said[name].as_str().expect("a string").to_owned();
    let number = |name: &str| said[name].as_u64().expect("a number");
    let urls = said["parts"].as_array().expect("a list");
    let urls = urls.iter().map(|url| url.as_str().expect("a URL"));
    UploadPlan::s3(
        text("upload_id"),
        number("total"),
        number("chunk"),
        urls,
        text("complete"),
        Some(text("abort")),
    )
    .head_request(PlanRequest::new(text("head")))
}

fn azure(address: &str) -> UploadPlan {
    let said: Value = serde_json::from_str(address).expect("JSON");
    let text = |name: &str| said[name].as_str().expect("a string");
    let number = |name: &str| said[name].as_u64().expect("a number");
    let (total, chunk) = (number("total"), number("chunk"));
    UploadPlan::azure_sas(
        text("blob"),
        total,
        chunk,
        text("session"),
        Existing::Replace,
    )
    .expect("a URL with a SAS")
}
