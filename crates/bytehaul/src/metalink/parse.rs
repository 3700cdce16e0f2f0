//! The walk through a Metalink document's XML: which element means what where, in both versions, and how much is enough.

use std::collections::HashSet;

use bytehaul_integrity::Algorithm;
use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::draft::{Draft, Pieces, Problem};
use super::{MetalinkError, MetalinkFile};

/// The files of a document.
pub(super) fn files(document: &[u8]) -> Result<Vec<MetalinkFile>, MetalinkError> {
    let document = document.strip_prefix(BOM).unwrap_or(document);
    if document.len() > MOST_BYTES {
        return Err(MetalinkError::at(b"", 0, "more than 16 MiB"));
    }
    let text = std::str::from_utf8(document)
        .map_err(|error| MetalinkError::at(document, error.valid_up_to() as u64, "not UTF-8"))?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk::default();
    loop {
        let before = reader.buffer_position();
        let (namespace, event) = match reader.read_resolved_event() {
            Ok((namespace, event)) => (Namespace::of(&namespace), event),
            Err(_) => {
                let at = reader.error_position();
                return Err(MetalinkError::at(document, at, "not well-formed XML"));
            }
        };
        let done = walk
            .event(namespace, event)
            .map_err(|problem| MetalinkError::at(document, before, problem))?;
        if done == Done::Yes {
            return Ok(walk.files);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

/// The namespaces that mean something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Namespace {
    V3,
    V4,
    Other,
}

impl Namespace {
    fn of(resolved: &ResolveResult<'_>) -> Self {
        match resolved {
            ResolveResult::Bound(namespace) if namespace.0 == V4 => Self::V4,
            ResolveResult::Bound(namespace) if namespace.0.trim_end_matches('/') == V3 => Self::V3,
            ResolveResult::Bound(_) | ResolveResult::Unbound | ResolveResult::Unknown(_) => {
                Self::Other
            }
        }
    }
}

/// What an open element is, with what its start said.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Root,
    Files,
    File,
    Verification,
    Resources,
    Size,
    Hash(Option<Algorithm>),
    Pieces,
    PieceHash,
    Url {
        priority: u32,
        location: Option<String>,
    },
    MetaUrl {
        priority: u32,
        media_type: String,
    },
    /// Not known, like everything in it.
    Ignored,
}

#[derive(Default)]
struct Walk {
    version: Option<Namespace>,
    open: Vec<Node>,
    /// The text of the innermost open element, as far as it counts.
    text: String,
    draft: Draft,
    files: Vec<MetalinkFile>,
    names: HashSet<String>,
}

impl Walk {
    fn event(&mut self, namespace: Namespace, event: Event<'_>) -> Result<Done, Problem> {
        match event {
            Event::Start(start) => self.start(namespace, &start)?,
            Event::End(_) => self.end()?,
            Event::Text(text) => self.take(&text.xml10_content())?,
            Event::CData(text) => self.take(&text.xml10_content())?,
            Event::GeneralRef(reference) => self.reference(&reference)?,
            Event::Decl(declaration) => encoding(&declaration)?,
            Event::Eof if self.open.is_empty() && self.version.is_some() => return Ok(Done::Yes),
            Event::Eof => return Err("ends too early".into()),
            // Declared entities are in here; none of them is ever expanded.
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => (),
        }
        Ok(Done::No)
    }

    fn start(&mut self, namespace: Namespace, start: &BytesStart<'_>) -> Result<(), Problem> {
        if self.open.len() == MOST_DEPTH {
            return Err("elements too deep in each other".into());
        }
        self.text.clear();
        let node = match (self.open.last(), self.version) {
            (None, Some(_)) => return Err("a second root element".into()),
            (None, None) => self.root(namespace, start)?,
            (Some(parent), Some(version)) if version == namespace => {
                let kind = kind(version, parent, start.local_name().as_ref());
                self.node(kind, start)?
            }
            (Some(_), _) => Node::Ignored,
        };
        self.open.push(node);
        Ok(())
    }

    fn root(&mut self, namespace: Namespace, start: &BytesStart<'_>) -> Result<Node, Problem> {
        if namespace == Namespace::Other || start.local_name().as_ref() != "metalink" {
            return Err("no Metalink document".into());
        }
        self.version = Some(namespace);
        Ok(Node::Root)
    }

    fn node(&mut self, kind: Kind, start: &BytesStart<'_>) -> Result<Node, Problem> {
        Ok(match kind {
            Kind::Plain(node) => node,
            Kind::File => {
                self.draft = Draft::named(&attribute(start, "name")?.unwrap_or_default())?;
                Node::File
            }
            Kind::Hash => Node::Hash(algorithm(start)?),
            Kind::Pieces => {
                let length = attribute(start, "length")?.unwrap_or_default();
                let pieces = Pieces::new(algorithm(start)?, &length)?;
                self.draft.begin_pieces(pieces);
                Node::Pieces
            }
            Kind::PieceHash => {
                if let Some(index) = attribute(start, "piece")? {
                    self.draft.expect_piece(&index)?;
                }
                Node::PieceHash
            }
            Kind::Url => Node::Url {
                priority: self.priority(start)?,
                location: attribute(start, "location")?.and_then(|text| location(&text)),
            },
            Kind::MetaUrl => Node::MetaUrl {
                priority: self.priority(start)?,
                media_type: attribute(start, "mediatype")?.unwrap_or_default(),
            },
        })
    }

    /// Version 4 counts from 1, the best, to 999999; version 3 has preferences, of which 100 is the best.
    fn priority(&self, start: &BytesStart<'_>) -> Result<u32, Problem> {
        let name = match self.version {
            Some(Namespace::V3) => "preference",
            Some(Namespace::V4 | Namespace::Other) | None => "priority",
        };
        let number = attribute(start, name)?.and_then(|text| text.trim().parse::<u32>().ok());
        Ok(match (self.version, number) {
            (Some(Namespace::V3), Some(preference)) => 101 - preference.min(100),
            (_, Some(priority @ 1..super::LEAST_PRIORITY)) => priority,
            (_, Some(_) | None) => super::LEAST_PRIORITY,
        })
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(node) = self.open.pop() else {
            return Err("an end without a start".into());
        };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        match node {
            Node::Size => self.draft.size(text)?,
            Node::Hash(algorithm) => self.draft.hash(algorithm, text)?,
            Node::PieceHash => self.draft.piece(text)?,
            Node::Pieces => self.draft.end_pieces()?,
            Node::Url { priority, location } => self.draft.url(text, priority, location),
            Node::MetaUrl {
                priority,
                media_type,
            } => {
                self.draft.metaurl(text, priority, media_type);
            }
            Node::File => self.file()?,
            Node::Root | Node::Files | Node::Verification | Node::Resources | Node::Ignored => (),
        }
        Ok(())
    }

    fn file(&mut self) -> Result<(), Problem> {
        let file = std::mem::take(&mut self.draft).finish()?;
        if self.files.len() == MOST_FILES {
            return Err("more than 10,000 files".into());
        }
        if !self.names.insert(file.name.clone()) {
            return Err("two files of one name".into());
        }
        self.files.push(file);
        Ok(())
    }

    /// Keeps text where it means something.
    fn take(&mut self, text: &str) -> Result<(), Problem> {
        match self.open.last() {
            None if !text.trim().is_empty() => {
                return Err("text outside of the root element".into());
            }
            None
            | Some(
                Node::Root
                | Node::Files
                | Node::File
                | Node::Verification
                | Node::Resources
                | Node::Pieces
                | Node::Ignored,
            ) => return Ok(()),
            Some(_) => (),
        }
        if self.text.len() + text.len() > MOST_TEXT {
            return Err("a value of more than 64 KiB".into());
        }
        self.text.push_str(text);
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Problem> {
        let Ok(resolved) = reference.resolve_char_ref() else {
            return Err("a reference to no character".into());
        };
        let character = resolved.or(match &**reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => None,
        });
        match (character, self.open.last()) {
            (Some(character), _) => self.take(character.encode_utf8(&mut [0; 4])),
            (None, None | Some(Node::Ignored)) => Ok(()),
            (None, Some(_)) => Err("an entity that is not expanded".into()),
        }
    }
}

/// What an element is, before its attributes are looked at.
enum Kind {
    Plain(Node),
    File,
    Hash,
    Pieces,
    PieceHash,
    Url,
    MetaUrl,
}

/// RFC 5854, section 4, and the specification of Metalink 3.0.
fn kind(version: Namespace, parent: &Node, name: &str) -> Kind {
    use Namespace::{V3, V4};
    match (version, parent, name) {
        (V4, Node::Root, "file") | (V3, Node::Files, "file") => Kind::File,
        (V3, Node::Root, "files") => Kind::Plain(Node::Files),
        (V3, Node::File, "verification") => Kind::Plain(Node::Verification),
        (V3, Node::File, "resources") => Kind::Plain(Node::Resources),
        (V3 | V4, Node::File, "size") => Kind::Plain(Node::Size),
        (V4, Node::File, "hash") | (V3, Node::Verification, "hash") => Kind::Hash,
        (V4, Node::File, "pieces") | (V3, Node::Verification, "pieces") => Kind::Pieces,
        (V3 | V4, Node::Pieces, "hash") => Kind::PieceHash,
        (V4, Node::File, "url") | (V3, Node::Resources, "url") => Kind::Url,
        (V4, Node::File, "metaurl") => Kind::MetaUrl,
        _ => Kind::Plain(Node::Ignored),
    }
}

fn algorithm(start: &BytesStart<'_>) -> Result<Option<Algorithm>, Problem> {
    Ok(attribute(start, "type")?.and_then(|name| name.parse().ok()))
}

/// An attribute of no namespace.
fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Problem> {
    let mut attributes = start.attributes();
    for attribute in attributes.with_checks(false).take(MOST_ATTRIBUTES) {
        let attribute = attribute.map_err(|_| "attributes that cannot be read")?;
        if attribute.key.as_ref() == name {
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| "an entity that is not expanded")?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

fn encoding(declaration: &BytesDecl<'_>) -> Result<(), Problem> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if ENCODINGS.iter().any(|one| one.eq_ignore_ascii_case(&name)) => Ok(()),
        Some(_) => Err("another encoding than UTF-8".into()),
    }
}

fn location(text: &str) -> Option<String> {
    let text = text.trim();
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| text.to_ascii_lowercase())
}

/// RFC 5854, section 3.
const V4: &str = "urn:ietf:params:xml:ns:metalink";
/// Written with a slash at the end or without.
const V3: &str = "http://www.metalinker.org";

const BOM: &[u8] = b"\xef\xbb\xbf";
const ENCODINGS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

const MOST_BYTES: usize = 16 * 1024 * 1024;
const MOST_FILES: usize = 10_000;
const MOST_DEPTH: usize = 32;
const MOST_TEXT: usize = 64 * 1024;
const MOST_ATTRIBUTES: usize = 64;
