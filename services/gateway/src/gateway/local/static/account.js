// Pages that use the token of a link: the token is in the fragment, which browsers send to no server and mail scanners do
// not see. Nothing happens before the person presses the button.
const ACTIONS = {
  reset: {
    path: "api/v1/auth/password-reset",
    done: "Your password is set. You can log in now.",
    body: (token, form) => ({
      reset_token: token,
      new_password: form.elements.password.value,
      end_api_keys: form.elements.end_api_keys.checked,
    }),
    problem: (form) =>
      form.elements.password.value === form.elements.again.value ? "" : "The two passwords differ.",
  },
  verify: {
    path: "api/v1/auth/email-verification",
    done: "Your e-mail address is confirmed.",
    body: (token) => ({ verification_token: token }),
    problem: () => "",
  },
};
const NO_TOKEN = "This link is incomplete. Open it again from the message, or ask for a new one.";

function explain(status, problem) {
  const first = problem && problem.errors && problem.errors[0];
  if (first) return first.detail;
  if (status === 404) return "This server sends no mail, so that there is nothing to confirm.";
  return (problem && problem.detail) || `The server answered with status ${status}. Try again later.`;
}

async function send(action, token, form, show) {
  const response = await fetch(action.path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(action.body(token, form)),
    credentials: "omit",
  });
  if (response.ok) {
    form.hidden = true;
    return show(action.done);
  }
  return show(explain(response.status, await response.json().catch(() => null)));
}

function start() {
  const form = document.getElementById("form");
  const show = (text) => { document.getElementById("message").textContent = text; };
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return show(NO_TOKEN);
  // The address bar and the history of the browser do not keep the token.
  history.replaceState(null, "", location.pathname);
  const action = ACTIONS[form.dataset.action];
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = action.problem(form);
    if (problem) return show(problem);
    const button = form.querySelector("button");
    button.disabled = true;
    show("One moment …");
    try {
      await send(action, token, form, show);
    } catch {
      show("The server does not answer. Try again.");
    } finally {
      button.disabled = false;
    }
  });
}

start();
