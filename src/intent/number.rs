//! Numbers in digits and words: "21.5", "twenty five", "fünfundzwanzig", "zweieinhalb".

use super::normalize::Sentence;
use super::phrases::Phrases;

#[derive(Clone, Debug, Default)]
pub struct Numbers {
    pub words: Phrases<f64>,
    /// "and a half".
    pub and_a_half: Phrases<()>,
}

impl Numbers {
    /// Adds the words that a language writes as one: `unit` + `joint` + `ten` ("einundzwanzig") and `unit` + `half` ("zweieinhalb").
    pub fn add_compounds(&mut self, joint: Option<&str>, half: Option<&str>) {
        let known: Vec<(String, f64)> = self.words.iter().map(|(word, value)| (word.to_owned(), *value)).collect();
        for (unit, value) in known.iter().filter(|(_, value)| (1.0..10.0).contains(value) && value.fract() == 0.0) {
            if let Some(half) = half {
                self.words.insert(&format!("{unit}{half}"), value + 0.5);
            }
            let tens = known.iter().filter(|(_, ten)| (20.0..100.0).contains(ten) && ten % 10.0 == 0.0);
            for (ten, tens_value) in tens {
                if let Some(joint) = joint {
                    self.words.insert(&format!("{unit}{joint}{ten}"), tens_value + value);
                }
            }
        }
    }

    /// The number at `from` and the token after it.
    pub fn parse(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(f64, usize)> {
        let (value, end) = self.whole(sentence, from, to)?;
        let half_end = self.and_a_half.skip(sentence, end, to);
        let value = if half_end > end { value + 0.5 } else { value };
        Some((value, half_end))
    }

    fn whole(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(f64, usize)> {
        if from >= to {
            return None;
        }
        let token = sentence.token(from);
        if token.len() <= 9 && token.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit()) {
            return token.parse().ok().map(|value| (value, from + 1));
        }
        let (value, end) = self.words.longest(sentence, from, to)?;
        let is_ten = (20.0..100.0).contains(value) && value % 10.0 == 0.0;
        if is_ten
            && let Some((unit, unit_end)) = self.words.longest(sentence, end, to)
            && (1.0..10.0).contains(unit)
            && unit.fract() == 0.0
        {
            return Some((value + unit, unit_end));
        }
        Some((*value, end))
    }
}
