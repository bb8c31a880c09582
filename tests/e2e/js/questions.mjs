// How a test talks with a program beside it: each line on stdin asks for the counts of the moment,
// which go out as a line of JSON. The end of stdin tells the program to stop; it prints a last line.
import { createInterface } from "node:readline";

export const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// Answers with `counts()` until stdin ends.
export async function answerQuestions(counts) {
  for await (const _ of createInterface({ input: process.stdin })) print(counts());
}
