//! Reading Metalink files, and making the directories that the names in them ask for.

use std::path::{Path, PathBuf};

use bytehaul::{DownloadSpec, Metalink};

use crate::usage::UsageError;

/// What the files list, below `dir`.
pub(crate) fn read(files: &[PathBuf], dir: &Path) -> Result<Vec<DownloadSpec>, UsageError> {
    let mut specs = Vec::new();
    for file in files {
        let shown = file.display();
        let document = std::fs::read(file)
            .map_err(|error| UsageError::new(format!("read {shown}: {error}")))?;
        let listed = Metalink::parse(&document)
            .map_err(|error| UsageError::new(format!("{shown}: {error}")))?
            .specs(dir);
        if listed.is_empty() {
            return Err(UsageError::new(format!(
                "{shown} lists no file that http or https leads to"
            )));
        }
        specs.extend(listed);
    }
    specs
        .iter()
        .try_for_each(|spec| make_directory(spec, dir))?;
    Ok(specs)
}

/// A name in a Metalink file may have directories in it; they lie below `dir`, which itself has to be there.
fn make_directory(spec: &DownloadSpec, dir: &Path) -> Result<(), UsageError> {
    let below = spec.output_path.as_deref().and_then(Path::parent);
    match below {
        Some(below) if below != dir && dir.is_dir() => std::fs::create_dir_all(below)
            .map_err(|error| UsageError::new(format!("make {}: {error}", below.display()))),
        Some(_) | None => Ok(()),
    }
}
