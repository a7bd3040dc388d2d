//! Markdown as HTML. Raw HTML becomes text, links lead to the web alone, and images become links.

use std::fmt::Write as _;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::web::described::is_web;
use crate::xml::escaped;

/// The longest HTML that is made, in bytes.
const LONGEST: usize = 256 << 10;

/// Returns a document as HTML.
pub(super) fn as_html(document: &str) -> String {
    let mut html = String::new();
    let mut links: Vec<bool> = Vec::new();
    let mut cell = "td";
    for event in Parser::new_ext(document, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::TableHead) => {
                cell = "th";
                html += "<thead><tr>";
            }
            Event::End(TagEnd::TableHead) => {
                cell = "td";
                html += "</tr></thead><tbody>";
            }
            Event::Start(Tag::TableCell) => html += if cell == "th" { "<th scope=\"col\">" } else { "<td>" },
            Event::End(TagEnd::TableCell) => {
                let _ = write!(html, "</{cell}>");
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                begin_link(&mut html, &mut links, &dest_url);
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                html += if links.pop() == Some(true) { "</a>" } else { "" };
            }
            Event::Start(tag) => start(&mut html, &tag),
            Event::End(tag) => end(&mut html, tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => add(&mut html, &text),
            Event::Code(text) => {
                html += "<code>";
                add(&mut html, &text);
                html += "</code>";
            }
            Event::SoftBreak => html.push('\n'),
            Event::HardBreak => html += "<br>",
            Event::Rule => html += "<hr>",
            _ => {}
        }
        if html.len() > LONGEST {
            // Open elements end with the page's own; the text says that it is not whole.
            return format!(
                "<p>The document is long: this is its text without format.</p><pre>{}</pre>",
                escaped(crate::web::page::cut(document, 50_000).as_str())
            );
        }
    }
    html
}

fn add(html: &mut String, text: &CowStr<'_>) {
    // Line breaks may stay as they are: only signs of HTML count here.
    for part in text.split_inclusive('\n') {
        let (line, end) = part.strip_suffix('\n').map_or((part, ""), |line| (line, "\n"));
        *html += &escaped(line);
        *html += end;
    }
}

/// Begins a link within one that is open already as text: HTML has no links in links.
fn begin_link(html: &mut String, links: &mut Vec<bool>, url: &str) {
    let is_link = is_web(url) && !links.contains(&true);
    if is_link {
        let _ = write!(html, "<a href=\"{}\" rel=\"nofollow noopener\">", escaped(url));
    }
    links.push(is_link);
}

/// The headings of a document are below those of the page.
fn heading(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 3,
        HeadingLevel::H2 => 4,
        HeadingLevel::H3 => 5,
        _ => 6,
    }
}

fn start(html: &mut String, tag: &Tag<'_>) {
    match tag {
        Tag::Heading { level, .. } => {
            let _ = write!(html, "<h{}>", heading(*level));
        }
        Tag::List(Some(first)) => {
            let _ = write!(html, "<ol start=\"{first}\">");
        }
        Tag::CodeBlock(_) => *html += "<pre tabindex=\"0\"><code>",
        Tag::Table(_) => {
            *html += "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>"
        }
        other => {
            if let Some(name) = name(&other.to_end()) {
                let _ = write!(html, "<{name}>");
            }
        }
    }
}

fn end(html: &mut String, tag: TagEnd) {
    match tag {
        TagEnd::Heading(level) => {
            let _ = write!(html, "</h{}>", heading(level));
        }
        TagEnd::List(true) => *html += "</ol>",
        TagEnd::CodeBlock => *html += "</code></pre>",
        TagEnd::Table => *html += "</tbody></table></div>",
        other => {
            if let Some(name) = name(&other) {
                let _ = write!(html, "</{name}>");
            }
        }
    }
}

fn name(tag: &TagEnd) -> Option<&'static str> {
    Some(match tag {
        TagEnd::Paragraph => "p",
        TagEnd::BlockQuote(_) => "blockquote",
        TagEnd::List(false) => "ul",
        TagEnd::Item => "li",
        TagEnd::Emphasis => "em",
        TagEnd::Strong => "strong",
        TagEnd::Strikethrough => "s",
        TagEnd::TableRow => "tr",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::as_html;

    #[test]
    fn a_document_becomes_html() {
        let html = as_html(
            "# Title\n\nSome *text* with [a link](https://a.example/?b=c&d).\n\n- one\n- two\n\n|a|b|\n|-|-|\n|1|2|\n",
        );
        assert!(html.contains("<h3>Title</h3>") && html.contains("<em>text</em>"), "{html}");
        assert!(
            html.contains("<a href=\"https://a.example/?b=c&amp;d\" rel=\"nofollow noopener\">a link</a>"),
            "{html}"
        );
        assert!(
            html.contains("<ul><li>one</li><li>two</li></ul>") && html.contains("<th scope=\"col\">a</th>"),
            "{html}"
        );
    }

    #[test]
    fn nothing_of_a_document_runs() {
        for hostile in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "![x](https://a.example/pixel.png)",
            "[a](//evil.example)",
            "<https://a.example/\"onmouseover=alert(1)>",
            "```html\n<script>alert(1)</script>\n```",
            "[x]: javascript:alert(1)\n\n[x]",
        ] {
            let html = as_html(hostile);
            assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
            assert!(
                !html.contains("href=\"javascript")
                    && !html.contains("href=\"data")
                    && !html.contains("href=\"//"),
                "{html}"
            );
            assert!(!html.contains("\"onmouseover"), "{html}");
        }
    }

    #[test]
    fn a_document_that_grows_is_shown_as_text() {
        let html = as_html(&"*a* ".repeat(60_000));
        assert!(html.contains("without format") && html.len() < 200_000);
        as_html(&"> ".repeat(100_000));
        as_html(&"[".repeat(100_000));
    }
}
