import tensorflow as tf
from tensorflow import keras
from keras import backend as K

original_dim = 784


def vae_loss(x, x_decoded_mean, z_mean, z_log_var):
    xent = original_dim * keras.losses.binary_crossentropy(x, x_decoded_mean)
    kl = -0.5 * K.sum(1 + z_log_var - K.square(z_mean) - K.exp(z_log_var), axis=-1)
    return tf.reduce_mean(xent + kl)
