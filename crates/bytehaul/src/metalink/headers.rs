//! What the header fields of an answer say of other places that have the same file (RFC 6249).

use bytehaul_integrity::Digest;
use bytehaul_transport::headers::Link;
use http::HeaderMap;
use url::Url;

use super::{LEAST_PRIORITY, MetalinkUrl, strong};

/// What an answer names beside the file itself.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Named {
    /// Where else the file is, best first.
    pub(crate) mirrors: Vec<MetalinkUrl>,
    /// What the whole file hashes to. There is one whenever there are mirrors.
    pub(crate) digest: Option<Digest>,
    /// A Metalink document about it.
    pub(crate) description: Option<Description>,
}

/// Where a Metalink document is, and what it is about.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Description {
    pub(crate) url: Url,
    pub(crate) about: Addresses,
}

/// The addresses of one file: the one that was given, and the one that it was answered from after redirects.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Addresses {
    pub(crate) asked: Url,
    pub(crate) answered: Url,
}

impl Addresses {
    /// Whether something that a server names beside this file may be fetched: where either address is `https`, only by
    /// `https`. A name and password would be somebody's credentials of which nobody here knows.
    pub(super) fn may_lead_to(&self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        let secure = [&self.asked, &self.answered]
            .iter()
            .any(|url| url.scheme() == "https");
        plain
            && url.has_host()
            && match url.scheme() {
                "https" => true,
                "http" => !secure,
                _ => false,
            }
    }

    pub(super) fn has(&self, url: &Url) -> bool {
        *url == self.asked || *url == self.answered
    }
}

/// Reads the `Link` fields of an answer. `asked` is the URL that was given, `answered` the one that the answer is from
/// after redirects, and `digests` what the same answer names of the whole file, strongest first.
///
/// Without a digest that is strong enough, no mirror counts: it alone binds a mirror's bytes to this file (RFC 6249,
/// section 6). A description has hashes of its own. Where either URL is `https`, only `https` mirrors count.
pub(crate) fn named(asked: &Url, answered: &Url, headers: &HeaderMap, digests: &[Digest]) -> Named {
    let digest = strong(digests);
    let about = Addresses {
        asked: asked.clone(),
        answered: answered.clone(),
    };
    let links = Link::all(headers);
    let links = || links.iter().filter(|link| link.is_about(answered));
    let mut found: Vec<_> = links()
        .filter(|link| digest.is_some() && link.has_rel("duplicate"))
        .filter_map(|link| Some((link, target(link, answered)?)))
        .filter(|(_, url)| about.may_lead_to(url) && !about.has(url))
        // A preferred mirror is run together with this server (RFC 6249, section 3.3).
        .map(|(link, url)| (!link.has("pref"), mirror(link, url)))
        .collect();
    found.sort_by_key(|(other, mirror)| (*other, mirror.priority));
    let mut mirrors: Vec<MetalinkUrl> = Vec::new();
    for (_, mirror) in found {
        if mirrors.len() < MOST_MIRRORS && mirrors.iter().all(|known| known.url != mirror.url) {
            mirrors.push(mirror);
        }
    }
    let description = links()
        .filter(|link| link.has_rel("describedby") && is_metalink(link))
        .filter_map(|link| target(link, answered))
        .find(|url| about.may_lead_to(url));
    Named {
        mirrors,
        digest,
        description: description.map(|url| Description { url, about }),
    }
}

/// Where a link leads.
fn target(link: &Link, answered: &Url) -> Option<Url> {
    let mut url = link.resolve(answered)?;
    url.set_fragment(None);
    Some(url)
}

fn mirror(link: &Link, url: Url) -> MetalinkUrl {
    let priority = link
        .parameter("pri")
        .and_then(|text| text.trim().parse().ok());
    let location = link
        .parameter("geo")
        .map(|text| text.trim().to_ascii_lowercase());
    MetalinkUrl {
        url,
        priority: priority
            .filter(|priority| (1..=LEAST_PRIORITY).contains(priority))
            .unwrap_or(LEAST_PRIORITY),
        location: location
            .filter(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase())),
    }
}

fn is_metalink(link: &Link) -> bool {
    link.parameter("type").is_some_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/metalink4+xml")
    })
}

/// Mirrors that are taken from what servers name: more are not used at the same time anyway.
pub(crate) const MOST_MIRRORS: usize = 16;
