"""What decoders are trained on: who speaks, what is said, and what of it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.errors import UsageError
from tests.spoken_corpus import SIZES, TEST, TRAIN, make_speech, speaker_number
from training.features import Features
from training.letters import LetterIds
from training.spoken import EXAGGERATION, PROMPT, Speech, Spoken, read_tokens

CONFIG = SIZES.t3
IDS = LetterIds(CONFIG)


@pytest.fixture(scope="module")
def features(spoken_features: Path) -> Features:
    return Features(spoken_features)


def said_by(features: Features, place: int) -> int:
    return speaker_number(features.items[place].speaker)


def batch(speech: Speech, places: list[int], seed: int = 1) -> Spoken:
    return speech.batch(places, np.random.default_rng(seed))


def test_rows_are_the_texts_and_tokens_of_their_places(features: Features) -> None:
    speech, places = make_speech(features), [0, 15, 7]
    found = batch(speech, places)
    assert found.lengths.tolist() == [features.items[place].tokens for place in places]
    assert found.lengths.tolist() == [speech.length(place) for place in places]
    for row, place in enumerate(places):
        text = [CONFIG.start_text, *IDS(features.items[place].text).tolist(), CONFIG.stop_text]
        assert found.prefix.lengths[row] == len(text)
        assert found.prefix.text[row, : len(text)].tolist() == text
        ids = found.speech[row].tolist()
        length = features.items[place].tokens
        assert ids[0] == CONFIG.start_speech
        assert {one // 16 for one in ids[1 : 1 + length]} == {said_by(features, place)}
        assert set(ids[1 + length :]) == {CONFIG.stop_speech}
    assert found.prefix.text.shape[1] == max(found.prefix.lengths)
    assert found.speech.shape[1] == max(found.lengths) + 2


def test_tokens_are_those_of_the_utterance(features: Features) -> None:
    ends = np.cumsum([item.tokens for item in features.items])
    tokens = np.arange(ends[-1], dtype=np.uint16) % 80
    speech = Speech(features, tokens, np.eye(len(features), dtype=np.float32), CONFIG)
    for place, end in enumerate(ends):
        found = batch(speech, [place]).speech[0, 1:-1]
        assert found.tolist() == tokens[end - features.items[place].tokens : end].tolist()


def test_voices_and_prompts_are_of_the_same_speaker(features: Features) -> None:
    """Of training speakers what is trained on, of others what is tested on."""
    speech, places = make_speech(features), list(range(len(features)))
    prompts = set()
    for seed in range(6):
        found = batch(speech, places, seed)
        who = torch.tensor([said_by(features, place) for place in places])
        assert torch.equal(found.prefix.speaker.argmax(dim=1), who)
        assert torch.equal(found.prefix.prompt // 16, who[:, None].expand_as(found.prefix.prompt))
        assert (found.prefix.speaker.norm(dim=1) - 1).abs().max() < 1e-5
        assert found.prefix.speaker.dtype == found.prefix.exaggeration.dtype == torch.float32
        assert EXAGGERATION[0] <= found.prefix.exaggeration.min()
        assert found.prefix.exaggeration.max() <= EXAGGERATION[1]
        prompts.add(found.prefix.prompt.shape[1])
    assert len(prompts) > 3
    assert PROMPT[0] <= min(prompts) <= max(prompts) <= CONFIG.prompt_tokens < PROMPT[1]


def test_voices_of_training_are_made_of_what_is_trained_on(features: Features) -> None:
    """An embedding says which utterance it is of: none of the texts that are judged is there."""
    embeddings = np.eye(len(features), dtype=np.float32)
    tokens = np.zeros(sum(item.tokens for item in features.items), np.uint16)
    speech = Speech(features, tokens, embeddings, CONFIG)
    [place] = [place for place in features.part("valid") if said_by(features, place) == 0]
    heard = {
        int(one)
        for seed in range(40)
        for one in batch(speech, [place], seed).prefix.speaker[0].nonzero()
    }
    assert heard == set(features.speakers("train")[TRAIN[0]])


def test_a_batch_is_drawn_from_the_numbers_alone(features: Features) -> None:
    one, again, other = (batch(make_speech(features), [0, 1], seed) for seed in (1, 1, 2))
    assert torch.equal(one.prefix.prompt, again.prefix.prompt)
    assert torch.equal(one.prefix.speaker, again.prefix.speaker)
    assert torch.equal(one.prefix.exaggeration, again.prefix.exaggeration)
    assert not torch.equal(one.prefix.exaggeration, other.prefix.exaggeration)


def test_pairs_are_two_of_one_speaker_with_a_space_between(features: Features) -> None:
    speech = make_speech(features, pairs=1.0)
    places = speech.places("train")
    assert len(speech.pairs) == 12
    assert places == [*features.part("train"), *range(len(features), len(features) + 12)]
    pairs = places[12:]
    found = batch(speech, pairs)
    for row, (place, (first, second)) in enumerate(zip(pairs, speech.pairs, strict=True)):
        one, other = features.items[first], features.items[second]
        assert one.speaker == other.speaker
        assert one.part == other.part == "train"
        text = f"{one.text} {other.text}"
        assert speech.text(place) == text
        ids = [CONFIG.start_text, *IDS(text).tolist(), CONFIG.stop_text]
        assert found.prefix.text[row, : found.prefix.lengths[row]].tolist() == ids
        assert speech.length(place) == found.lengths[row] == one.tokens + other.tokens
        parts = [batch(speech, [at]).speech[0, 1:-1] for at in (first, second)]
        assert torch.equal(found.speech[row, 1 : 1 + found.lengths[row]], torch.cat(parts))
    assert len({said_by(features, first) for first, _ in speech.pairs}) == 3


def test_letters_are_those_that_the_tokens_are_spoken_in(features: Features) -> None:
    speech = make_speech(features, pairs=1.0)
    places = [*features.part("train"), *speech.places("train")[-3:]]
    found = batch(speech, places)
    assert found.letters is not None
    assert found.letters.shape == found.speech[:, 1:].shape
    for row, place in enumerate(places):
        said = found.letters[row, : found.lengths[row]]
        ids = found.prefix.text[row][said]
        parts = speech.pairs[place - len(features)] if place >= len(features) else (place,)
        spread = []
        for one in parts:
            item = features.items[one]
            letters = IDS(item.text)
            spread += letters[np.arange(item.tokens) * len(letters) // item.tokens].tolist()
        assert ids.tolist() == spread
        assert (found.letters[row, found.lengths[row] :] == -1).all()
    some = found.rows(slice(1, None, 3)).letters
    assert some is not None
    assert torch.equal(some, found.letters[1::3])
    assert batch(speech.told({0: np.arange(3)}), [0]).letters is None, "of tokens nobody aligned"


def test_pairs_are_for_training_alone(features: Features) -> None:
    speech = make_speech(features, pairs=0.5)
    assert len(speech.pairs) == 6
    for part, speakers in (("valid", TRAIN), ("test", TEST), ("closed", TEST)):
        places = speech.places(part)
        assert places == features.part(part)
        assert {features.items[place].speaker for place in places} == set(speakers)


def test_speech_of_some_voices_only(features: Features) -> None:
    every = make_speech(features, pairs=1.0)
    some = every.only(["ann", "cat"])
    names = {speech: said_in(features, speech) for speech in (every, some)}
    assert names == {every: {"ann", "bob", "cat"}, some: {"ann", "cat"}}
    assert len(some.pairs) == 8
    assert some.places("valid") == [
        place for place in features.part("valid") if features.items[place].speaker != "bob"
    ]
    place = some.places("train")[0]
    assert_same(batch(some, [place]), batch(every, [place]))
    with pytest.raises(UsageError, match=r"Nobody has the voice 'dan'.*ann, bob, cat"):
        every.only(["ann", "dan"])


def said_in(features: Features, speech: Speech) -> set[str]:
    """Who speaks in what is trained on, pairs among them."""
    found = set()
    for place in speech.places("train"):
        beyond = place - len(features)
        parts = speech.pairs[beyond] if beyond >= 0 else (place,)
        found |= {features.items[part].speaker for part in parts}
    return found


def assert_same(one: Spoken, other: Spoken) -> None:
    assert torch.equal(one.speech, other.speech)
    assert torch.equal(one.prefix.speaker, other.prefix.speaker)
    assert torch.equal(one.prefix.prompt, other.prefix.prompt)


def test_some_rows_are_told_the_voice_of_a_stranger(features: Features) -> None:
    speech = make_speech(features).only(["ann"], strangers=0.25)
    places = [place for place in speech.places("train") for _ in range(50)]
    found = batch(speech, places)
    told = found.prefix.speaker.argmax(dim=-1).tolist()
    prompts = (found.prefix.prompt // 16).tolist()
    ann, bob, cat = (speaker_number(name) for name in TRAIN)
    assert {ann, bob, cat} == set(told)
    for row, number in enumerate(told):
        assert set(prompts[row]) == {number}, "voice and prompt are of one speaker"
        spoken = found.speech[row, 1 : 1 + found.lengths[row]]
        assert set((spoken // 16).tolist()) == {ann}, "but it is she who speaks"
    assert told.count(ann) / len(told) == pytest.approx(0.75, abs=0.12)
    everybody = make_speech(features).only(TRAIN, strangers=0.5)
    ours = batch(everybody, places).prefix.speaker.argmax(dim=-1)
    assert set(ours.tolist()) == {ann}, "there are no strangers"


def test_what_a_teacher_said_is_trained_on_alone(features: Features) -> None:
    """In the voices of the corpus, and judged on the corpus."""
    speech = make_speech(features, pairs=0.5)
    chosen = features.part("train")[2:4]
    said = {chosen[1]: np.array([80, 79, 78], np.int32), chosen[0]: np.array([77] * 9, np.int32)}
    told = speech.told(said)
    assert told.places("train") == chosen
    assert [told.length(place) for place in chosen] == [9, 3]
    found, recorded = batch(told, chosen), batch(speech, chosen)
    assert not (recorded.speech == 77).any(), "the other is as it was"
    assert recorded.lengths.tolist() == [features.items[place].tokens for place in chosen]
    assert found.speech[0, 1:10].tolist() == [77] * 9
    assert found.speech[1, 1:5].tolist() == [80, 79, 78, CONFIG.stop_speech]
    for name in ("text", "speaker", "prompt", "exaggeration"):
        assert torch.equal(vars(found.prefix)[name], vars(recorded.prefix)[name]), name
    for part in ("valid", "test", "closed"):
        places = told.places(part)
        assert places == speech.places(part)
        assert torch.equal(batch(told, places).speech, batch(speech, places).speech)
    assert len(speech.places("train")) == 18
    assert speech.places("train", pairs=False) == features.part("train")


def test_some_rows_of_a_batch(features: Features) -> None:
    """As one of several processes takes them."""
    speech = make_speech(features, unconditional=0.5)
    whole = batch(speech, [0, 15, 7, 3, 9])
    found = whole.rows(slice(1, None, 2))
    for name in ("speech", "lengths", "unconditional"):
        assert torch.equal(vars(found)[name], vars(whole)[name][[1, 3]]), name
    for name in ("text", "lengths", "speaker", "prompt", "exaggeration"):
        assert torch.equal(vars(found.prefix)[name], vars(whole.prefix)[name][[1, 3]]), name


def test_padding_does_not_count(features: Features) -> None:
    found = batch(make_speech(features), list(range(len(features))))
    assert found.counted.sum(dim=1).tolist() == [length + 1 for length in found.lengths]
    assert len(set(found.lengths.tolist())) > 5, "there is padding"
    learnt = found.speech[:, 1:].masked_fill(~found.counted, -1)
    assert ((learnt == CONFIG.stop_speech).sum(dim=1) == 1).all()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_some_rows_are_not_told_what_to_say(features: Features, share: float) -> None:
    speech = make_speech(features, unconditional=share)
    found = [batch(speech, list(range(21)), seed).unconditional for seed in range(20)]
    assert torch.stack(found).float().mean().item() == pytest.approx(share, abs=0.07)
    assert all(one.dtype == torch.bool for one in found)


def test_what_does_not_fit_together_is_refused(features: Features) -> None:
    tokens = np.zeros(sum(item.tokens for item in features.items), np.uint16)
    embeddings = np.zeros((len(features), CONFIG.speaker_dim), np.float32)
    for wrong in ((tokens[1:], embeddings), (tokens, embeddings[1:])):
        with pytest.raises(UsageError, match="Run the stages of the codec and of the voice"):
            Speech(features, *wrong, CONFIG)


def test_tokens_are_the_codecs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokens\.npy is missing.*training\.codec"):
        read_tokens(tmp_path)
    (tmp_path / "codec").mkdir()
    np.save(tmp_path / "codec" / "tokens.npy", np.arange(5, dtype=np.uint16))
    assert read_tokens(tmp_path).tolist() == [0, 1, 2, 3, 4]
