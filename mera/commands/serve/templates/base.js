/* What all parts of the page use. */

export const byId = id => document.getElementById(id);
export const percent = share => (share === null ? "–" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; is mera serve still running?");
  }
  const answer = await response.json().catch(() => ({ detail: "the server's answer cannot be read" }));
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

export function numberOf(input) {
  return input.value.trim() === "" ? null : Number(input.value);
}

export function say(sentence, isProblem = false) {
  byId("problem").hidden = !isProblem;
  const place = byId(isProblem ? "problem" : "status");
  place.textContent = sentence;
  if (isProblem) place.scrollIntoView({ block: "nearest" });
}

/** For screen readers alone. */
export function announce(sentence) {
  byId("announcement").textContent = sentence;
}
