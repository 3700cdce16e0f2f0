//! An upload protocol of one's own, which here needs no server: parts become files in a directory, and the commit joins
//! them: `cargo run --example custom_protocol -- FILE STORE`.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use bytehaul::protocol::{
    Begun, BoxFuture, CallError, Custom, CustomUpload, PartData, PartReceipt, PartTaken,
    UploadContext,
};
use bytehaul::{CheckpointPlace, EventKind, TaskOptions, TransferManager, UploadSpec};
use bytes::Bytes;

/// A directory with a folder for each upload that is under way.
#[derive(Debug)]
struct Folder {
    store: PathBuf,
}

impl Folder {
    fn session(&self, context: &UploadContext) -> Result<PathBuf, CallError> {
        let session = context.session.as_ref();
        let session = session.ok_or_else(|| CallError::fatal("the upload was not begun"))?;
        Ok(self.store.join(session.as_str()))
    }
}

impl CustomUpload for Folder {
    fn name(&self) -> &str {
        "folder"
    }

    fn target(&self) -> String {
        format!("folder:{}", self.store.display())
    }

    /// Parts may come at the same time and in any order.
    fn parallel(&self) -> bool {
        true
    }

    fn begin(&self, context: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        Box::pin(async move {
            // The same name for each try, so that a lost answer leaves nothing behind that nobody knows of.
            let session = format!("{}.parts", context.name);
            let made = tokio::task::spawn_blocking({
                let folder = self.store.join(&session);
                move || std::fs::create_dir_all(folder)
            });
            done(made).await?;
            Ok(Begun::new().session(session))
        })
    }

    fn part(
        &self,
        context: UploadContext,
        part: PartData,
    ) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        Box::pin(async move {
            let file = self.session(&context)?.join(part.number.to_string());
            let written = tokio::task::spawn_blocking(move || std::fs::write(file, &part.data));
            done(written).await?;
            Ok(PartTaken::new())
        })
    }

    fn commit(
        &self,
        context: UploadContext,
        parts: Vec<PartReceipt>,
    ) -> BoxFuture<'_, Result<Option<Bytes>, CallError>> {
        Box::pin(async move {
            let folder = self.session(&context)?;
            let object = self.store.join(&context.name);
            let path = object.display().to_string();
            let joined = tokio::task::spawn_blocking(move || {
                if !folder.exists() && object.exists() {
                    // The answer to an earlier commit was lost.
                    return Ok(());
                }
                let new = folder.join("object");
                let mut whole = std::fs::File::create(&new)?;
                for part in parts {
                    let mut part = std::fs::File::open(folder.join(part.number.to_string()))?;
                    io::copy(&mut part, &mut whole)?;
                }
                whole.sync_all()?;
                std::fs::rename(new, object)?;
                std::fs::remove_dir_all(folder)
            });
            done(joined).await?;
            Ok(Some(Bytes::from(path)))
        })
    }

    fn abort(&self, context: UploadContext) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            let folder = self.session(&context)?;
            done(tokio::task::spawn_blocking(move || {
                std::fs::remove_dir_all(folder)
            }))
            .await
        })
    }
}

/// A full disk is not worth another try; most else may be.
async fn done(work: tokio::task::JoinHandle<io::Result<()>>) -> Result<(), CallError> {
    match work.await.map_err(CallError::fatal)? {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(CallError::fatal(error)),
        Err(error) => Err(CallError::transient(error)),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(file), Some(store)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: custom_protocol FILE STORE");
        std::process::exit(2);
    };
    std::fs::create_dir_all(&store)?;
    let spec = UploadSpec::file(
        file,
        Custom::new(Folder {
            store: store.clone(),
        }),
    )
    .part_size(1024 * 1024)
    .max_connections(4)
    .checkpoints(CheckpointPlace::Directory(store.join("checkpoints")));
    let transfers = TransferManager::builder().build()?;
    let options = TaskOptions::new().on_event(|event| match &event.kind {
        EventKind::Progress(progress) => println!("{} bytes stored", progress.done),
        kind => println!("{kind:?}"),
    });
    let id = transfers.enqueue_with(spec, options)?;
    let completion = transfers.wait(id).await?.completion();
    let object = completion.payload.unwrap_or_default();
    println!("{}", String::from_utf8_lossy(&object));
    transfers.close().await?;
    Ok(())
}
