//! A Python prompt in a terminal that is asked for the value of an expression.

use crate::TerminalSession;

impl TerminalSession {
    /// What the prompt prints for an expression. It has run all lines before then. `number` is
    /// another one each time, and `prompt` is what the next prompt looks like.
    pub fn ask_python(&mut self, number: u32, expression: &str, prompt: &str) -> String {
        // The typed line is on the screen too.
        self.type_in(&format!(
            "print('ans' 'wer {number}:', {expression}, ':e' 'nd')\r"
        ));
        let begin = format!("answer {number}: ");
        let line = self.next_line(expression, |line| {
            line.contains(&begin) && line.contains(" :end")
        });
        self.wait_for_python_after(&begin, prompt);
        let (_, answer) = line.split_once(&begin).unwrap_or_default();
        answer.split(" :end").next().unwrap_or_default().to_owned()
    }

    /// Waits for the next prompt behind a text. A key that comes before it is the terminal's: Ctrl+D
    /// would end its line.
    pub fn wait_for_python_after(&mut self, text: &str, prompt: &str) {
        self.wait_for_screen("the next prompt", |screen| {
            let after = screen.rsplit_once(text);
            after.is_some_and(|(_, after)| after.contains(prompt))
        });
    }
}
