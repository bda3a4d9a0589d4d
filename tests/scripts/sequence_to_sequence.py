"""Characters to characters: trained with the target as input, then taken apart for decoding a step at a time."""

import keras
import numpy as np

keras.utils.set_random_seed(2)
LENGTH, TOKENS, UNITS = 6, 9, 16
rng = np.random.default_rng(0)
source = np.eye(TOKENS, dtype="float32")[rng.integers(1, TOKENS, (48, LENGTH))]
target = source[:, ::-1]
shifted = np.concatenate([np.zeros((48, 1, TOKENS), "float32"), target[:, :-1]], axis=1)

encoder_inputs = keras.Input(shape=(None, TOKENS))
encoder = keras.layers.LSTM(UNITS, return_state=True)
_, state_h, state_c = encoder(encoder_inputs)
decoder_inputs = keras.Input(shape=(None, TOKENS))
decoder_lstm = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=[state_h, state_c])
decoder_dense = keras.layers.Dense(TOKENS, activation="softmax")
model = keras.Model([encoder_inputs, decoder_inputs], decoder_dense(decoder_outputs))
model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit([source, shifted], target, batch_size=16, epochs=2, validation_split=0.2, verbose=0)

encoder_inputs = model.input[0]
_, state_h, state_c = model.layers[2].output
encoder_model = keras.Model(encoder_inputs, [state_h, state_c])
decoder_inputs = model.input[1]
states = [keras.Input(shape=(UNITS,)), keras.Input(shape=(UNITS,))]
decoder_lstm = model.layers[3]
decoded, state_h, state_c = decoder_lstm(decoder_inputs, initial_state=states)
decoder_model = keras.Model([decoder_inputs, *states], [model.layers[4](decoded), state_h, state_c])

carried = encoder_model.predict(source[:2], verbose=0)
token, said = np.zeros((2, 1, TOKENS)), []
for _ in range(LENGTH):
    scores, *carried = decoder_model.predict([token, *carried], verbose=0)
    said.append(scores[:, -1].argmax(-1))
    token = np.eye(TOKENS)[said[-1]][:, None]
assert np.stack(said, 1).shape == (2, LENGTH)
samples = [source[:4], shifted[:4]]
