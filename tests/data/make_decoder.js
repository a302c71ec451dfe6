// Makes tfjs_decoder/: node make_decoder.js, with @tensorflow/tfjs on the module path.
// A decoder of TensorFlow.js' own layers with random weights, an input and the outputs it computes there.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

function random(seed) {  // a small generator, so that the files come out the same again
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 1073741824 - 1;
}

async function main() {
  const next = random(7);
  const array = (shape, lift) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tf.tensor(Float32Array.from({length: size}, () => lift ? Math.abs(next()) + 0.5 : next() / 3), shape);
  };
  const layers = tf.layers;
  const model = tf.sequential({name: 'decoder', layers: [
    layers.dense({units: 3 * 5 * 4, inputShape: [7]}),
    layers.batchNormalization({}),
    layers.leakyReLU({alpha: 0.2}),
    layers.reshape({targetShape: [3, 5, 4]}),
    layers.conv2dTranspose({filters: 5, kernelSize: 4, strides: 2, padding: 'same', activation: 'relu6'}),
    layers.upSampling2d({size: [1, 2]}),
    layers.conv2d({filters: 4, kernelSize: [3, 5], padding: 'same', strides: [1, 2], activation: 'elu'}),
    layers.prelu({sharedAxes: [1, 2]}),
    layers.dropout({rate: 0.25}),
    layers.zeroPadding2d({padding: [[1, 0], [0, 1]]}),
    layers.cropping2D({cropping: [[0, 1], [1, 0]]}),
    layers.conv2dTranspose({filters: 2, kernelSize: 3, strides: [2, 3], activation: 'hardSigmoid'}),
  ]});
  model.setWeights(model.getWeights().map((w, n) => array(w.shape, model.weights[n].name.includes('variance'))));
  const inputs = array([3, 7]);
  const outputs = model.predict(inputs);
  const folder = path.join(__dirname, 'tfjs_decoder');
  fs.mkdirSync(folder, {recursive: true});
  await model.save(tf.io.withSaveHandler(async artifacts => {
    const {weightData, weightSpecs, ...rest} = artifacts;
    rest.weightsManifest = [{paths: ['weights.bin'], weights: weightSpecs}];
    fs.writeFileSync(path.join(folder, 'model.json'), JSON.stringify(rest));
    fs.writeFileSync(path.join(folder, 'weights.bin'), Buffer.from(weightData));
    return {modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}};
  }));
  const list = tensor => ({shape: tensor.shape, data: Array.from(tensor.dataSync(), x => Number(x.toPrecision(9)))});
  fs.writeFileSync(path.join(folder, 'expected.json'), JSON.stringify({inputs: list(inputs), outputs: list(outputs)}));
}

main();
