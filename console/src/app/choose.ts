/** Let the person choose files of the device: none when the dialog is cancelled. */
export function chooseFiles(options: Partial<Pick<HTMLInputElement, "accept" | "multiple">>): Promise<readonly File[]> {
  return new Promise((resolve) => {
    const input = Object.assign(document.createElement("input"), { type: "file", ...options });
    input.addEventListener("change", () => resolve([...(input.files ?? [])]));
    input.addEventListener("cancel", () => resolve([]));
    input.click();
  });
}
