//! A store of uploads in memory, as an application's own protocol: lets through as many parts as a test allows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytehaul::UploadSpec;
use bytehaul::protocol::{
    Begun, BoxFuture, CallError, Custom, CustomUpload, PartData, PartReceipt, PartTaken,
    UploadContext,
};
use bytes::Bytes;
use tokio::sync::Semaphore;

pub(crate) const PART: usize = 1000;

#[derive(Clone, Debug)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sessions: AtomicUsize,
    /// Bytes of the parts by session and offset.
    staged: Mutex<BTreeMap<String, BTreeMap<u64, Bytes>>>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    aborts: Mutex<Vec<String>>,
    /// Parts that are let through.
    parts: Semaphore,
    taken: AtomicUsize,
    /// Whether an abort gets through.
    aborting: Semaphore,
    /// Aborts that were asked for.
    asked: AtomicUsize,
    panics: AtomicBool,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            sessions: AtomicUsize::new(0),
            staged: Mutex::default(),
            objects: Mutex::default(),
            aborts: Mutex::default(),
            parts: Semaphore::new(0),
            taken: AtomicUsize::new(0),
            aborting: Semaphore::new(Semaphore::MAX_PERMITS),
            asked: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
        }))
    }

    /// An upload of so many parts.
    pub(crate) fn upload(&self, name: &str, parts: usize) -> UploadSpec {
        let bytes = content(name, parts);
        UploadSpec::bytes(name, bytes, self.protocol(name)).part_size(PART as u64)
    }

    /// The protocol that uploads to this place.
    pub(crate) fn protocol(&self, name: &str) -> Custom {
        Custom::new(Protocol {
            shelf: self.clone(),
            target: format!("shelf://store/{name}"),
        })
    }

    pub(crate) fn let_through(&self, parts: usize) {
        self.0.parts.add_permits(parts);
    }

    /// Aborts hang until they are released.
    pub(crate) fn hold_aborts(&self) {
        self.0.aborting.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release_aborts(&self) {
        self.0.aborting.add_permits(1000);
    }

    /// Aborts that were asked for, those that hang among them.
    pub(crate) fn aborting(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Every call panics from now on.
    pub(crate) fn panic(&self) {
        self.0.panics.store(true, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.0.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn aborts(&self) -> Vec<String> {
        self.0.aborts.lock().unwrap().clone()
    }

    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.0.objects.lock().unwrap().get(name).cloned()
    }

    pub(crate) fn staged(&self) -> usize {
        self.0.staged.lock().unwrap().len()
    }

    fn check(&self) {
        assert!(!self.0.panics.load(Ordering::Relaxed), "broken on purpose");
    }
}

pub(crate) fn content(name: &str, parts: usize) -> Vec<u8> {
    let seed = name.bytes().map(usize::from).sum::<usize>();
    (0..parts * PART).map(|n| (n * 31 + seed) as u8).collect()
}

#[derive(Debug)]
struct Protocol {
    shelf: Shelf,
    target: String,
}

impl CustomUpload for Protocol {
    fn name(&self) -> &str {
        "shelf"
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    fn begin(&self, context: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        Box::pin(async move {
            self.shelf.check();
            if context.session.is_some() {
                return Ok(Begun::new());
            }
            let number = self.shelf.0.sessions.fetch_add(1, Ordering::Relaxed) + 1;
            let session = format!("session-{number}");
            let mut staged = self.shelf.0.staged.lock().unwrap();
            staged.insert(session.clone(), BTreeMap::new());
            Ok(Begun::new().session(session))
        })
    }

    fn part(
        &self,
        context: UploadContext,
        part: PartData,
    ) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        Box::pin(async move {
            let permit = self.shelf.0.parts.acquire().await;
            permit.map_err(CallError::fatal)?.forget();
            self.shelf.check();
            let session = context.session.expect("it was begun");
            let mut staged = self.shelf.0.staged.lock().unwrap();
            let parts = staged.get_mut(session.as_str());
            let parts = parts.ok_or_else(|| CallError::fatal("no such session"))?;
            parts.insert(part.offset, part.data);
            self.shelf.0.taken.fetch_add(1, Ordering::Relaxed);
            Ok(PartTaken::new())
        })
    }

    fn commit(
        &self,
        context: UploadContext,
        _: Vec<PartReceipt>,
    ) -> BoxFuture<'_, Result<Option<Bytes>, CallError>> {
        Box::pin(async move {
            let session = context.session.expect("it was begun");
            let parts = self.shelf.0.staged.lock().unwrap().remove(session.as_str());
            let parts = parts.ok_or_else(|| CallError::fatal("no such session"))?;
            let bytes = parts.into_values().flatten().collect();
            let name = context.name.clone();
            self.shelf.0.objects.lock().unwrap().insert(name, bytes);
            Ok(Some(Bytes::from(format!("id of {}", context.name))))
        })
    }

    fn abort(&self, context: UploadContext) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            self.shelf.0.asked.fetch_add(1, Ordering::Relaxed);
            let _permit = self.shelf.0.aborting.acquire().await;
            let session = context.session.map(|id| id.as_str().to_owned());
            let session = session.unwrap_or_default();
            self.shelf.0.staged.lock().unwrap().remove(&session);
            self.shelf.0.aborts.lock().unwrap().push(session);
            Ok(())
        })
    }
}
