// A link of the contents opens what it leads to; on paper everything is open; a table that is wider than its frame says so.
const openTarget = () => {
  const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const part = target?.querySelector("details") ?? target?.closest("details");
  if (part) part.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", openTarget);
for (const link of document.querySelectorAll(".contents a")) {
  link.addEventListener("click", () => {
    const part = document.getElementById(link.hash.slice(1)).querySelector("details");
    if (part) part.open = true;
  });
}
if (location.hash) openTarget();
let closed = [];
addEventListener("beforeprint", () => {
  closed = Array.from(document.querySelectorAll("details:not([open]):not(.models)"));
  for (const part of closed) part.open = true;
});
addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
