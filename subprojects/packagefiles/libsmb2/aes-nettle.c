/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In place of the library's lib/aes.c: the one function of it that is used, from nettle, which has the processor's own instructions. The
 * library signs and encrypts with it one block after the other, each with the key anew; what was made of the key last is kept. Not for
 * several threads, as the helper has none.
 */
#include <nettle/aes.h>
#include <stdint.h>
#include <string.h>

void AES128_ECB_encrypt(uint8_t *input, const uint8_t *key, uint8_t *output);

void AES128_ECB_encrypt(uint8_t *input, const uint8_t *key, uint8_t *output)
{
	static uint8_t last[AES128_KEY_SIZE];
	static struct aes128_ctx context;
	static int made;

	if (!made || memcmp(last, key, sizeof(last)) != 0) {
		memcpy(last, key, sizeof(last));
		aes128_set_encrypt_key(&context, key);
		made = 1;
	}
	aes128_encrypt(&context, AES_BLOCK_SIZE, output, input);
}
