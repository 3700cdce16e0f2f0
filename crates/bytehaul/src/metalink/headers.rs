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
    pub(crate) description: Option<Url>,
}

/// Reads the `Link` fields of an answer. `asked` is the URL that was given, `answered` the one that the answer is from
/// after redirects, and `digests` what the same answer names of the whole file, strongest first.
///
/// Without a digest that is strong enough, no mirror counts: it alone binds a mirror's bytes to this file (RFC 6249,
/// section 6). A description has hashes of its own. Where either URL is `https`, only `https` mirrors count.
pub(crate) fn named(asked: &Url, answered: &Url, headers: &HeaderMap, digests: &[Digest]) -> Named {
    let digest = strong(digests);
    let usable = |url: &Url| usable(url, [asked, answered]);
    let links = Link::all(headers);
    let links = || links.iter().filter(|link| link.is_about(answered));
    let mut found: Vec<_> = links()
        .filter(|link| digest.is_some() && link.has_rel("duplicate"))
        .filter_map(|link| Some((link, target(link, answered)?)))
        .filter(|(_, url)| usable(url) && url != asked && url != answered)
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
        .find(|url| usable(url));
    Named {
        mirrors,
        digest,
        description,
    }
}

impl Named {
    /// Adds what is named elsewhere; what was named first goes before it.
    pub(crate) fn add(&mut self, other: Self) {
        for mirror in other.mirrors {
            if self.mirrors.len() < MOST_MIRRORS
                && self.mirrors.iter().all(|known| known.url != mirror.url)
            {
                self.mirrors.push(mirror);
            }
        }
        self.digest = self.digest.or(other.digest);
    }
}

/// Whether a file of which these URLs tell may be fetched from `url`: where one of them is `https`, only by `https`.
pub(super) fn usable(url: &Url, told_by: [&Url; 2]) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => told_by.iter().all(|url| url.scheme() != "https"),
        _ => false,
    }
}

/// Where a link leads. A name and password in it would be somebody's credentials of which nobody here knows.
fn target(link: &Link, answered: &Url) -> Option<Url> {
    let mut url = link.resolve(answered)?;
    url.set_fragment(None);
    let plain = url.username().is_empty() && url.password().is_none();
    (plain && url.has_host()).then_some(url)
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

/// More sources than these are not used at the same time anyway.
const MOST_MIRRORS: usize = 32;
