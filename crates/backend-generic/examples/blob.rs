//! Moves one blob: `blob push HOST/NAME FILE`, `blob pull HOST/NAME DIGEST`, with what came of it on standard error.
#![expect(clippy::print_stderr, reason = "this is the program's interface")]

use std::error::Error as StdError;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use distribution_client::{Registries, RegistryFactory};
use futures::TryStreamExt;
use oci_model::{Digest, DigestAlgorithm, DigestHasher, Reference};
use registry_backend::BackendFactory as _;
use registry_backend::{
    Access, BlobSource, ByteStream, Error, OpenOptions, RegistryBackend, Result, WriteHint, verified,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// A file, opened again for every try.
struct FileSource {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

/// The bytes that are read at once.
const PIECE: usize = 256 * 1024;

#[async_trait]
impl BlobSource for FileSource {
    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let failed = |error| Error::io("read", self.path.display(), error);
        let mut file = tokio::fs::File::open(&self.path).await.map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        file.set_max_buf_size(PIECE);
        let shown = self.path.display().to_string();
        let pieces = futures::stream::try_unfold(file, move |mut file| {
            let shown = shown.clone();
            async move {
                let mut piece = bytes::BytesMut::with_capacity(PIECE);
                let count =
                    file.read_buf(&mut piece).await.map_err(|error| Error::io("read", shown, error))?;
                Ok((count > 0).then(|| (piece.freeze(), file)))
            }
        });
        Ok(Box::pin(pieces))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, reference, what] = arguments.as_slice() else {
        return Err("usage: blob push|pull HOST/NAME WHAT".into());
    };
    let reference: Reference = reference.parse()?;
    let factory = RegistryFactory::new(Arc::new(Registries::default()), backend_generic::profile());
    let repository = factory.open(&reference.location, &OpenOptions::new(Access::Create)).await?;
    match verb.as_str() {
        "push" => push(&*repository, Path::new(what)).await,
        "pull" => pull(&*repository, &what.parse()?).await,
        _ => Err("neither push nor pull".into()),
    }
}

async fn push(repository: &dyn RegistryBackend, path: &Path) -> Result<(), Box<dyn StdError>> {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match std::io::Read::read(&mut file, &mut piece)? {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    let source = FileSource { path: path.to_owned(), digest: hasher.finish(), size: file.metadata()?.len() };
    let started = Instant::now();
    let written = repository.write_blob(&source, &WriteHint::default()).await?;
    eprintln!("{written:?} {} of {} bytes in {:?}", source.digest, source.size, started.elapsed());
    Ok(())
}

async fn pull(repository: &dyn RegistryBackend, digest: &Digest) -> Result<(), Box<dyn StdError>> {
    let started = Instant::now();
    let read = repository.read_blob(digest, None).await?;
    let size = read.blob_size;
    let mut stream = verified(read, digest)?;
    while stream.try_next().await?.is_some() {}
    eprintln!("{digest} of {size} bytes is right, read in {:?}", started.elapsed());
    Ok(())
}
