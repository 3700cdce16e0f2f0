//! The protocols of the conformance suite: each by its name, and made from the address that an endpoint gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use bytehaul::Algorithm;
use bytehaul::protocol::presigned::azure::Existing;
use bytehaul::protocol::presigned::{PlanRequest, UploadPlan};
use bytehaul::protocol::{
    Azure, AzureConfig, AzureCredentials, CredentialSource, Credentials, Custom, Form, Gcs,
    GcsToken, Oss, OssConfig, OssCredentials, Presigned, Put, S3, S3Config, S3Credentials, Tus,
    TusDraft, UploadProtocol,
};
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
    PresignedS3,
    PresignedAzure,
    S3,
    Azure,
    Oss,
    Gcs,
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
            Self::PresignedS3,
            Self::PresignedAzure,
            Self::S3,
            Self::Azure,
            Self::Oss,
            Self::Gcs,
            Self::Own,
            Self::OwnBlocks,
        ];
        let mut all = all.into_iter();
        all.find(|one| one.name() == name).expect("a known name")
    }

    /// The protocol towards this address; whoever renews the URLs of a plan, or keys, counts here.
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
            Self::PresignedS3 => presigned(s3_plan(address), renewals),
            Self::PresignedAzure => presigned(azure_plan(address), renewals),
            Self::S3 => Arc::new(s3(&Said::new(address), renewals)),
            Self::Azure => Arc::new(azure(&Said::new(address), renewals)),
            Self::Oss => Arc::new(oss(&Said::new(address), renewals)),
            Self::Gcs => Arc::new(gcs(&Said::new(address), renewals)),
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

fn s3_plan(address: &str) -> UploadPlan {
    let said = Said::new(address);
    let urls = said.0["parts"].as_array().expect("a list");
    let urls = urls.iter().map(|url| url.as_str().expect("a URL"));
    UploadPlan::s3(
        said.text("upload_id"),
        said.number("total"),
        said.number("chunk"),
        urls,
        said.text("complete"),
        Some(said.text("abort")),
    )
    .head_request(PlanRequest::new(said.text("head")))
}

fn azure_plan(address: &str) -> UploadPlan {
    let said = Said::new(address);
    let (total, chunk) = (said.number("total"), said.number("chunk"));
    let (blob, session) = (said.text("blob"), said.text("session"));
    UploadPlan::azure_sas(&blob, total, chunk, &session, Existing::Replace)
        .expect("a URL with a SAS")
}

fn s3(said: &Said, renewals: Option<Arc<AtomicU32>>) -> S3 {
    let keys = S3Credentials::new(said.text("key"), said.text("secret"));
    let config = S3Config::new(source(keys, renewals));
    let config = config
        .endpoint(said.text("endpoint").parse().expect("a URL"))
        .least_part(said.number("least_part"));
    S3::new(&said.text("object"), config).expect("an object")
}

fn azure(said: &Said, renewals: Option<Arc<AtomicU32>>) -> Azure {
    let key = AzureCredentials::shared_key(said.text("key"), said.text("secret"));
    let config = AzureConfig::new(source(key.expect("a key"), renewals));
    let config = config.endpoint(said.text("endpoint"));
    Azure::new(&said.text("object"), config).expect("a blob")
}

fn oss(said: &Said, renewals: Option<Arc<AtomicU32>>) -> Oss {
    let keys = OssCredentials::new(said.text("key"), said.text("secret"));
    let config = OssConfig::new(source(keys, renewals));
    let config = config.region(said.text("region"));
    let config = config.endpoint(said.text("endpoint"));
    Oss::new(&said.text("object"), config).expect("an object")
}

fn gcs(said: &Said, renewals: Option<Arc<AtomicU32>>) -> Gcs {
    let token = source(GcsToken::new(said.text("token")), renewals);
    let to = Gcs::new(&said.text("object"), token).expect("an object");
    let endpoint = said.text("endpoint").parse().expect("a URL");
    to.endpoint(endpoint).expect("an endpoint")
}

/// These credentials; where renewals count, from a provider that is asked for them, and the first time does not count.
fn source<C: Credentials>(credentials: C, renewals: Option<Arc<AtomicU32>>) -> CredentialSource<C> {
    let Some(renewals) = renewals else {
        return CredentialSource::fixed(credentials);
    };
    let is_first = AtomicBool::new(true);
    CredentialSource::provider(move || {
        if !is_first.swap(false, Relaxed) {
            renewals.fetch_add(1, Relaxed);
        }
        let credentials = credentials.clone();
        async move { Ok(credentials) }
    })
}

/// An address in JSON.
struct Said(Value);

impl Said {
    fn new(address: &str) -> Self {
        Self(serde_json::from_str(address).expect("JSON"))
    }

    fn text(&self, name: &str) -> String {
        self.0[name].as_str().expect("a string").to_owned()
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().expect("a number")
    }
}
