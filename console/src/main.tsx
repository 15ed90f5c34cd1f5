import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./app/App";
import { ErrorBoundary } from "./app/ErrorBoundary";
import { applyPreferences } from "./app/preferences";
import { keepFocus } from "./ui/keepFocus";
import "./styles/base.css";
import "./styles/chat.css";
import "./styles/pages.css";

applyPreferences();
keepFocus();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <ErrorBoundary whole>
      <App />
    </ErrorBoundary>
  </StrictMode>,
);
