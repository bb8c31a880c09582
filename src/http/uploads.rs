//! `POST /upload` and `GET /uploads/{filename}`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mime_guess::{Mime, mime};
use tokio::time::timeout;
use tower_http::services::ServeFile;

use super::api_doc::answers;
use super::error::InvalidField;
use super::sign_in;
use crate::error::Error;
use crate::media::{MediaName, MediaStore};
use crate::wire::rest::{FileContent, UploadForm, Uploaded};

/// A client that sends nothing for this long has gone away without saying so. Longer than a phone
/// needs to change from one network to another.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a form may hold besides the file: the parser keeps a part's head in memory, so this bounds
/// it.
const FRAMING_BYTES: u64 = 256 * 1024;

/// A client sees an answer only when its own sending is not cut off with a reset, so what follows
/// a refused file is read and thrown away, up to this much and this long.
pub(super) const DISCARD_BYTES: u64 = 64 << 20;
pub(super) const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Where files are uploaded, by who has signed in.
pub(super) fn posts(media: MediaStore) -> Router {
    Router::new()
        .route("/upload", post(upload))
        .route("/upload/", post(upload))
        .layer(from_fn(sign_in::require))
        // `MAX_UPLOAD_SIZE` is held while the file streams to disk.
        .layer(DefaultBodyLimit::disable())
        .with_state(media)
}

/// Where uploaded files are.
pub(super) fn gets(media: MediaStore) -> Router {
    Router::new().route("/uploads/{filename}", get(download)).with_state(media)
}

/// Uploads a file
///
/// Up to 5,242,880 bytes (`MAX_UPLOAD_SIZE`), of a type that its name says.
#[utoipa::path(
    post, path = "/upload/", tag = "uploads", operation_id = "upload_file",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Where it is", body = Uploaded),
        answers::Invalid,
    ),
)]
pub(super) async fn upload(State(media): State<MediaStore>, request: Request) -> Response {
    let allowance = Allowance::default();
    allowance.set(FRAMING_BYTES);
    let (head, body) = request.into_parts();
    let body = Body::from_stream(metered(body, allowance.clone()));
    let Ok(mut form) = Multipart::from_request(Request::from_parts(head, body), &()).await else {
        return invalid_file("Field required", "missing");
    };
    let answer = save_file_field(&media, &mut form, &allowance).await;
    let answer = answer.unwrap_or_else(|error| broken_form(&error).into_response());
    allowance.set(DISCARD_BYTES);
    let rest = async { while let Ok(Some(_)) = form.next_field().await {} };
    let _ = timeout(DISCARD_TIMEOUT, rest).await;
    answer
}

async fn save_file_field(
    media: &MediaStore,
    form: &mut Multipart,
    allowance: &Allowance,
) -> Result<Response, MultipartError> {
    while let Some(field) = form.next_field().await? {
        if field.name() == Some("file") {
            allowance.set(media.max_upload_size().saturating_add(FRAMING_BYTES));
            return Ok(save(media, field).await);
        }
    }
    Ok(invalid_file("Field required", "missing"))
}

async fn save(media: &MediaStore, field: Field<'_>) -> Response {
    let Some(filename) = field.file_name().map(base_name).filter(|name| !name.is_empty()) else {
        return invalid_file("Expected a file with a name", "value_error");
    };
    match media.save(&filename, field.map_err(|error| broken_form(&error))).await {
        Ok(saved) => Json(Uploaded {
            url: saved.name.url(),
            content_type: saved.kind.as_str(),
            filename,
            size: saved.size,
        })
        .into_response(),
        Err(error) => error.into_response(),
    }
}

fn invalid_file(msg: &str, kind: &'static str) -> Response {
    InvalidField::new("body", ["file".into()], msg, kind).into_response()
}

/// The last component of the client's name for a file, without control characters, cut to what
/// file systems take: it may be a whole path.
fn base_name(text: &str) -> String {
    const MAX_BYTES: usize = 255;
    let base = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = base.chars().filter(|c| !c.is_control()).collect();
    if clean.len() <= MAX_BYTES {
        return clean;
    }
    // The extension stays: it says what the file is.
    let dot = clean.rfind('.').filter(|dot| clean.len() - dot <= 16).unwrap_or(clean.len());
    let (stem, extension) = clean.split_at(dot);
    format!("{}{extension}", &stem[..stem.floor_char_boundary(MAX_BYTES - extension.len())])
}

/// How many bytes of a request's body may still be read; a part of the form raises it.
#[derive(Debug, Clone, Default)]
struct Allowance(Arc<AtomicU64>);

impl Allowance {
    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether there was any left. The last chunk may exceed it: chunks are small.
    fn take(&self, bytes: usize) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.set(left.saturating_sub(bytes as u64));
        left > 0
    }
}

/// Why the rest of a body is not read.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum BodyFault {
    #[error("The form around the file is too large")]
    TooLarge,
    #[error("The upload has stalled")]
    Stalled,
}

fn metered(
    body: Body,
    allowance: Allowance,
) -> impl Stream<Item = Result<Bytes, axum::BoxError>> + Send {
    stream::try_unfold(body.into_data_stream(), move |mut body| {
        let allowance = allowance.clone();
        async move {
            // The form's parser reads as long as there is anything to read. A pause after each
            // chunk makes it use that chunk first.
            tokio::task::yield_now().await;
            let next = timeout(IDLE_TIMEOUT, body.next()).await.map_err(|_| BodyFault::Stalled)?;
            let Some(chunk) = next.transpose()? else { return Ok(None) };
            if !allowance.take(chunk.len()) {
                return Err(BodyFault::TooLarge.into());
            }
            Ok(Some((chunk, body)))
        }
    })
}

/// What a form that can't be read to its end means for the client.
fn broken_form(error: &MultipartError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(fault @ BodyFault::TooLarge) => return Error::TooLarge(fault.to_string().into()),
            Some(fault @ BodyFault::Stalled) => return Error::Invalid(fault.to_string().into()),
            None => cause = error.source(),
        }
    }
    Error::Invalid("The upload broke off, or is not valid multipart/form-data".into())
}

/// An uploaded file
///
/// Its content never changes. Takes `Range` with one range, `If-None-Match` and
/// `If-Modified-Since`.
#[utoipa::path(
    get, path = "/uploads/{filename}", tag = "uploads", operation_id = "read_upload",
    responses(
        (status = 200, description = "The file", body = FileContent, content_type = "*/*"),
        (status = 206, description = "A part of it", body = FileContent, content_type = "*/*"),
        (status = 304, description = "It is the one that the client has"),
        (status = 416, description = "It has no such part"),
        answers::NotFound,
    ),
)]
pub(super) async fn download(
    State(media): State<MediaStore>,
    filename: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let mut response = match filename.ok().and_then(|Path(name)| MediaName::parse(&name)) {
        Some(name) => serve(&media, &name, request).await,
        None => Err(not_found()),
    }
    .unwrap_or_else(IntoResponse::into_response);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn not_found() -> Error {
    Error::NotFound("File not found".into())
}

async fn serve(media: &MediaStore, name: &MediaName, request: Request) -> Result<Response, Error> {
    let path = media.find(name).await?.ok_or_else(not_found)?;
    let mime = mime_guess::from_path(&path).first_or_octet_stream();
    // A request for many ranges at once gets the whole file, as RFC 9110 allows.
    let mut file = ServeFile::new_with_mime(path, &mime).ignore_multi_range_requests(true);
    let served = file.try_call(request).await.map_err(|e| Error::Internal(e.into()))?;
    let mut response = served.map(Body::new);
    let status = response.status();
    if status.is_success() || status == axum::http::StatusCode::NOT_MODIFIED {
        describe(&mime, response.headers_mut());
    }
    Ok(response)
}

/// What a browser may do with an upload.
fn describe(mime: &Mime, headers: &mut HeaderMap) {
    // A name is given once and its file never changes.
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    if !is_shown_inline(mime) {
        // Two walls: it is not opened in a tab, and if it were, it would run nothing.
        let attachment = HeaderValue::from_static("attachment");
        headers.insert(header::CONTENT_DISPOSITION, attachment);
        let sandbox = HeaderValue::from_static("sandbox; default-src 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    }
}

/// Types that browsers show without running anything of theirs. Old uploads may be of any type.
fn is_shown_inline(mime: &Mime) -> bool {
    match mime.type_() {
        mime::AUDIO | mime::VIDEO => true,
        mime::IMAGE => matches!(mime.subtype().as_str(), "jpeg" | "png" | "gif" | "webp" | "avif"),
        _ => mime.essence_str() == mime::APPLICATION_PDF.as_ref(),
    }
}

#[cfg(test)]
mod tests;
