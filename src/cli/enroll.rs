//! `hotwork operator` and `hotwork verifier`: certificates by which they are known over the network.

use super::args::enroll::{Enroll, EnrollOne, Remove};
use super::client::Context;
use super::duration::{absolute, now, relative};
use super::failure::{Exit, Failure};
use super::files::Folder;
use super::{holder, table, words};
use crate::proto::v1;

/// The files that enrolling writes.
const FILES: [&str; 3] = ["cert.pem", "key.pem", "ca.pem"];

/// Runs the command for one kind.
///
/// # Errors
/// When the broker refuses or can't be reached, or a file can't be written.
pub async fn run(context: &Context, kind: v1::EnrolledAs, command: &Enroll) -> Result<(), Failure> {
    match command {
        Enroll::Enroll(args) => enroll(context, kind, args).await,
        Enroll::List => list(context, kind).await,
        Enroll::Remove(args) => remove(context, kind, args).await,
    }
}

async fn enroll(context: &Context, kind: v1::EnrolledAs, args: &EnrollOne) -> Result<(), Failure> {
    // What can't be written is found before anybody is enrolled.
    let folder = Folder::open(&args.out)?;
    FILES.iter().try_for_each(|name| folder.check(name))?;
    let (csr_der, key) = match &args.csr {
        Some(file) => (holder::read_csr(file)?, None),
        None => {
            let made = holder::local_key()?;
            (made.csr_der, Some(made.key_pem))
        }
    };
    let message = v1::EnrollRequest {
        enrolled_as: kind.into(),
        name: args.name.clone(),
        csr_der,
        lifetime_seconds: args.lifetime,
    };
    let mut client = context.admin().await?;
    let answer = context.call(client.enroll(context.request(message))).await?;
    let mut files =
        vec![("cert.pem", answer.certificate_pem.as_bytes()), ("ca.pem", answer.ca_pem.as_bytes())];
    files.extend(key.as_ref().map(|key| ("key.pem", key.as_bytes())));
    let written = files.into_iter().try_for_each(|(name, content)| folder.write(name, content));
    if let Err(failure) = written {
        // Nobody has it, so nobody shall be known by it.
        take_back(context, kind, &answer).await;
        return Err(failure);
    }
    show(context, args, &answer)
}

async fn take_back(context: &Context, kind: v1::EnrolledAs, answer: &v1::EnrollResponse) {
    let made = answer.enrollment.clone().unwrap_or_default();
    let message = v1::RemoveEnrollmentRequest {
        enrolled_as: kind.into(),
        name: made.name,
        serial: made.serial,
        reason: "the files could not be written".to_owned(),
    };
    if let Ok(mut client) = context.admin().await {
        // A second failure on top of the first: the first is told.
        let _ = context.call(client.remove_enrollment(context.request(message))).await;
    }
}

fn show(context: &Context, args: &EnrollOne, answer: &v1::EnrollResponse) -> Result<(), Failure> {
    let made = answer.enrollment.clone().unwrap_or_default();
    let path = |name: &str| args.out.join(name).display().to_string();
    context.screen.show(
        answer,
        || vec![made.serial.clone()],
        |screen| {
            let mut fields = vec![
                ("enrolled", made.spiffe_id.clone()),
                ("serial", made.serial.clone()),
                ("ends", absolute(made.expire_time.as_ref())),
                ("HOTWORK_TLS_CERT", path("cert.pem")),
                ("HOTWORK_TLS_CA", path("ca.pem")),
                ("log entry", answer.log_index.to_string()),
            ];
            if args.csr.is_none() {
                fields.insert(4, ("HOTWORK_TLS_KEY", path("key.pem")));
            }
            table::fields(screen, &fields)
        },
    )
}

async fn list(context: &Context, kind: v1::EnrolledAs) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let mut all = v1::ListEnrollmentsResponse::default();
    loop {
        let message = v1::ListEnrollmentsRequest {
            page_size: 1000,
            page_token: all.next_page_token.clone(),
            enrolled_as: kind.into(),
        };
        let page = context.call(client.list_enrollments(context.request(message))).await?;
        let progress = !page.enrollments.is_empty();
        all.enrollments.extend(page.enrollments);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() || !progress {
            break;
        }
    }
    let names = || all.enrollments.iter().map(|one| one.serial.clone()).collect();
    context.screen.show(&all, names, |screen| {
        let now = now();
        let row = |one: &v1::Enrollment| {
            [
                one.name.clone(),
                words::enrolled_as(one.enrolled_as),
                one.serial.clone(),
                relative(one.expire_time.as_ref(), now),
                one.enrolled_by.clone(),
            ]
        };
        let rows: Vec<_> = all.enrollments.iter().map(row).collect();
        table::rows(screen, ["NAME", "AS", "SERIAL", "ENDS", "ENROLLED BY"], &rows)
    })
}

async fn remove(context: &Context, kind: v1::EnrolledAs, args: &Remove) -> Result<(), Failure> {
    if context.screen.interactive && !args.yes {
        confirm(context, args)?;
    }
    let mut client = context.admin().await?;
    let message = v1::RemoveEnrollmentRequest {
        enrolled_as: kind.into(),
        name: args.name.clone(),
        serial: args.serial.map(|serial| serial.to_string()).unwrap_or_default(),
        reason: args.reason.to_string(),
    };
    let answer = context.call(client.remove_enrollment(context.request(message))).await;
    let answer = answer.map_err(|failure| match failure.code {
        "NOT_FOUND" => failure.hint("`hotwork operator list` and `hotwork verifier list` show what there is"),
        _ => failure,
    })?;
    context.screen.show(
        &answer,
        || vec![answer.log_index.to_string()],
        |screen| {
            let fields = [
                ("removed", args.name.clone()),
                ("certificates", answer.removed.to_string()),
                ("durable since", absolute(answer.time.as_ref())),
                ("log entry", answer.log_index.to_string()),
            ];
            table::fields(screen, &fields)
        },
    )
}

fn confirm(context: &Context, args: &Remove) -> Result<(), Failure> {
    let what = if args.serial.is_some() { "one certificate" } else { "all certificates" };
    let name = super::text::clean(&args.name);
    let answer =
        context.screen.ask(&format!("This ends {what} of `{name}`, now and for good. Go on? [y/N]"))?;
    if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "not-confirmed", "nothing was removed").hint("answer `y`, or give --yes"))
}
